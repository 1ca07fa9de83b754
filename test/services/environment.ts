import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SERVICES } from './index';
import { isRunning } from './processes';
import { DIRECTORY } from './service';

/** The variables of all servers that run. */
export function environment(): Record<string, string> {
  return Object.assign({}, ...SERVICES.filter(({ name }) => isRunning(name)).map(({ variables }) => variables)) as Record<string, string>;
}

/** Where the tests find them without being told. */
export function writeEnvironment(): void {
  writeFileSync(join(DIRECTORY, 'env.json'), `${JSON.stringify(environment(), null, 2)}\n`);
}
