import { mainFlow } from './main-flow';
import { promises } from './promises';

mainFlow('on the embedded default', () => ({}));
promises('on the embedded default', () => ({}));
