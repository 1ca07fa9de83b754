import { Environment } from '../../src/embedded/environment';
import { temporaryDirectory } from './temp';

/** An embedded environment for the tests of a describe, which is closed and deleted behind them. @returns its directory, and what gives it once the tests run. */
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
