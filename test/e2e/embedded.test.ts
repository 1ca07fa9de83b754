import { installed } from './installed';
import { onOneServer } from './stage';
import { EVERYWHERE } from './suites';

// The installer's rules do not depend on the store, so one store is enough.
onOneServer('with the embedded store and queue', () => ({}), [...EVERYWHERE, installed]);
