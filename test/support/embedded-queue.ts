import { EmbeddedQueue } from '../../src/lanes/embedded';
import { temporaryEnvironment } from './environment';

function fail(error: Error): never {
  throw error;
}

/** An embedded database for the tests of a describe. @returns what opens a queue on it. */
export function embeddedQueue(): () => EmbeddedQueue {
  const environment = temporaryEnvironment();
  return () => new EmbeddedQueue(environment.get(), fail);
}
