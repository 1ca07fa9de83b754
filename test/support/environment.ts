import { Environment } from '../../src/embedded/environment';
import { temporaryDirectory } from './temp';

/**
 * An embedded environment for the tests of a describe. It is closed and deleted after them.
 * @returns its directory, and a function that returns it while the tests run.
 */
export function temporaryEnvironment(): { readonly path: string; readonly get: () => Environment } {
  const directory = temporaryDirectory();
  let environment: Environment;
  beforeAll(async () => {
    environment = await Environment.open(directory.path);
  });
  afterAll(async () => {
    await environment.close();
    directory.remove();
  });
  return { path: directory.path, get: () => environment };
}
