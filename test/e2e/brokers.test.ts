import { brokers } from './brokers';
import { onOneServer } from './stage';

onOneServer('with the embedded store and queue', () => ({}), [brokers]);
