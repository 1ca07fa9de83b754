import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ownDirectory } from './files';
import { SOFTWARE } from './service';

/** Fills the folder `name` of our software once for each `version`, from the start again when it was left half done. @returns the folder. */
export async function installOnce(name: string, version: string, fill: (directory: string) => Promise<void>): Promise<string> {
  const directory = join(SOFTWARE, name);
  const stamp = join(directory, 'installed');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === version) return directory;
  rmSync(directory, { recursive: true, force: true });
  ownDirectory(directory);
  await fill(directory);
  writeFileSync(stamp, version);
  return directory;
}
