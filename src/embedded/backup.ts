import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { open } from 'lmdb';
import { errorText, SettingError } from '../base/errors';
import { FILE, requireDatabase } from './environment';

/**
 * Copies the database in the directory to a new file, as it is at this moment, even while a server works on it. The
 * copy is compact: it has no free pages.
 * @throws SettingError
 */
export async function backUp(directory: string, target: string): Promise<void> {
  requireDatabase(directory);
  if (existsSync(target)) throw new SettingError('backup', `${target} exists already: name a file that does not exist yet`);
  const root = openReadOnly(join(directory, FILE));
  try {
    await root.backup(target, true);
  } catch (error) {
    throw new SettingError('backup', `${target} cannot be written: ${errorText(error)}`);
  } finally {
    await root.close();
  }
}

function openReadOnly(path: string) {
  try {
    return open({ path, readOnly: true });
  } catch (error) {
    throw new SettingError('DATA_DIR', `${path} cannot be opened (${errorText(error)}): make it readable for the user of this command`);
  }
}
