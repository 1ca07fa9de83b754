import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { errorText, SettingError } from '../base/errors';

/** A file of PostgreSQL's data directory. Earlier versions of this server ran a PostgreSQL inside. */
const OLD_FORMAT = 'PG_VERSION';
const OLD_FORMAT_REMEDY = 'choose another directory, or keep using that version until its messages are delivered';

/**
 * Tells what to do about a database of an earlier version in the directory; null if there is none.
 * @throws SettingError if the directory can't be read.
 */
export function oldFormat(directory: string): { readonly text: string; readonly remedy: string } | null {
  if (!existsSync(directory)) return null;
  if (!namesIn(directory).some((name) => name === OLD_FORMAT || existsSync(join(directory, name, OLD_FORMAT)))) return null;
  return { text: `${directory} has a database of an earlier version of this server, which used PostgreSQL`, remedy: OLD_FORMAT_REMEDY };
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOTDIR')
      throw new SettingError('DATA_DIR', `${directory} is a file: set DATA_DIR to a directory`);
    throw new SettingError('DATA_DIR', `${directory} cannot be read (${errorText(error)}): make it readable for the user of this program`);
  }
}

/** @throws SettingError if there is a database of an earlier version in the directory. */
export function refuseOldFormat(directory: string): void {
  const old = oldFormat(directory);
  if (old !== null) throw new SettingError('DATA_DIR', `${old.text}: ${old.remedy}`);
}
