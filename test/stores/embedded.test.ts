import { PgliteEngine } from '../../src/embedded/engine';
import { PostgresStore } from '../../src/stores/postgres';
import { temporaryDirectory } from '../support/temp';
import { conformance } from './conformance';

describe('embedded', () => {
  const directory = temporaryDirectory();
  let engine: PgliteEngine | null = null;
  afterAll(async () => {
    await engine?.close();
    directory.remove();
  });

  conformance('on the embedded database', {
    open: async () => {
      engine ??= await PgliteEngine.open(directory.path, (error) => {
        throw error;
      });
      return new PostgresStore(engine.connectionConfig());
    },
    many: 2_000,
  });
});
