import { onOneServer } from './stage';
import { EVERYWHERE } from './suites';

onOneServer('on the embedded default', () => ({}), EVERYWHERE);
