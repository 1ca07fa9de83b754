import { Environment } from '../../src/embedded/environment';
import { EmbeddedQueue } from '../../src/lanes/embedded';
import { temporaryDirectory } from './temp';

function fail(error: Error): never {
  throw error;
}

/** An embedded database for the tests of a describe. @returns what opens a queue on it. */
export function embeddedQueue(): () => EmbeddedQueue {
  const directory = temporaryDirectory();
  let environment: Environment;
  beforeAll(async () => {
    environment = await Environment.open(directory.path);
  });
  afterAll(async () => {
    await environment.close();
    directory.remove();
  });
  return () => new EmbeddedQueue(environment, fail);
}
