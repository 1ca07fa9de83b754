import { PgliteEngine } from '../../src/embedded/engine';
import { PostgresQueue } from '../../src/lanes/postgres';
import { temporaryDirectory } from './temp';

function fail(error: Error): never {
  throw error;
}

/** An embedded database for the tests of a describe. @returns what opens a queue on it. */
export function embeddedQueue(): () => PostgresQueue {
  const directory = temporaryDirectory();
  let engine: PgliteEngine;
  beforeAll(async () => {
    engine = await PgliteEngine.open(directory.path, fail);
  });
  afterAll(async () => {
    await engine.close();
    directory.remove();
  });
  return () => new PostgresQueue({ connection: engine.connectionConfig(), exclusive: true, onError: fail });
}
