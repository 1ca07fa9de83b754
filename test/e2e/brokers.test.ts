import { brokers } from './brokers';
import { onOneServer } from './stage';

onOneServer('on the embedded default', () => ({}), [brokers]);
