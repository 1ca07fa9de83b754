import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { Environment, FILE } from '../../src/embedded/environment';

/**
 * Writes to the environment in argv[2] until a write fails, because the file can't grow. Then it closes the
 * environment. Prints `failed` and `closed`.
 */
async function main([directory = '']: readonly string[]): Promise<void> {
  const environment = await Environment.open(directory);
  const write = (n: number) => environment.write(() => environment.table('test').put(Buffer.from(String(n)), Buffer.alloc(20_000)));
  await write(0);
  execFileSync('prlimit', ['--pid', String(process.pid), `--fsize=${statSync(join(directory, FILE)).size + 100_000}:unlimited`]);
  try {
    for (let n = 1; ; n++) await write(n);
  } catch {
    process.stdout.write('failed\n');
  }
  await environment.close();
  process.stdout.write('closed\n');
}

void main(process.argv.slice(2));
