import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';

const ROOT = resolve(__dirname, '../..');
const SOURCE = join(ROOT, 'src/console');
const PAGE = join(ROOT, 'dist/console/index.html');

/** `npm ci` builds the console; the tests build it again when a source file is newer than that. */
export function buildConsole(): void {
  if (existsSync(PAGE) && statSync(PAGE).mtimeMs > newest(SOURCE)) return;
  const { status, stderr } = spawnSync(process.execPath, ['node_modules/vite/bin/vite.js', 'build', 'src/console', '--logLevel', 'warn'], {
    cwd: ROOT,
    encoding: 'utf8',
    // jest's "test" would make Vite build for development.
    env: { ...process.env, NODE_ENV: 'production' },
  });
  if (status !== 0) throw new Error(`the console cannot be built: ${stderr}`);
}

function newest(folder: string): number {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true });
  return Math.max(...files.map(({ parentPath, name }) => statSync(join(parentPath, name)).mtimeMs));
}
