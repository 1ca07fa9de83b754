import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const ROOT = join(__dirname, '..', '..');

test('src/contract/openapi.ts is what openapi.yaml generates (npm run generate)', () => {
  // As a program: parts of it are ES modules only, which jest does not load.
  const cli = join(dirname(require.resolve('openapi-typescript/package.json')), 'bin', 'cli.js');
  const generated = execFileSync(process.execPath, [cli, 'openapi.yaml'], {
    cwd: ROOT,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  expect(readFileSync(join(ROOT, 'src', 'contract', 'openapi.ts'), 'utf8').trim()).toBe(generated.trim());
});
