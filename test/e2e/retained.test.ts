import { retained } from './retained';

retained('on the embedded default', () => ({}));
