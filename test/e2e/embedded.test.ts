import { installed } from './installed';
import { onOneServer } from './stage';
import { EVERYWHERE } from './suites';

// What the installer puts into EMQX is not about the store.
onOneServer('with the embedded store and queue', () => ({}), [...EVERYWHERE, installed]);
