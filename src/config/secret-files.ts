import { SettingError } from '../base/errors';

type Settings = Record<string, unknown>;

/** Matches the settings that may also be in a file, which KEY_FILE names: secrets, and URLs that may contain one. */
const SECRET = /_(TOKEN|TOKEN_PREVIOUS|KEY|SECRET|URL|URLS)$/;

export const fileKeyOf = (key: string): string => `${key}_FILE`;

/** Whether KEY_FILE may name a file with this setting. */
export const mayBeInFile = (key: string): boolean => SECRET.test(key);

/**
 * Replaces each KEY_FILE by KEY with the content of the file. Spaces and line breaks at both ends of a secret are
 * removed, because editors and `echo` add them.
 * @param collect runs the work and collects its error.
 */
export function withSecretFiles(
  settings: Settings,
  readFile: (path: string) => string,
  collect: (key: string, work: () => string) => string | undefined,
): Settings {
  const found: Settings = { ...settings };
  for (const [name, path] of Object.entries(settings)) {
    const key = keyOfFile(name);
    if (key === null) continue;
    delete found[name];
    const text = collect(name, () => {
      if (settings[key] !== undefined) throw new SettingError(name, `is set, and ${key} is set too: set one of them`);
      return contentOf(name, path, readFile);
    });
    if (text !== undefined) found[key] = text;
  }
  for (const [key, value] of Object.entries(found)) if (typeof value === 'string' && mayBeInFile(key)) found[key] = value.trim();
  return found;
}

/**
 * The setting whose file the name gives. Examples: INGEST_TOKEN for INGEST_TOKEN_FILE; null for EMQX_CA_FILE, which is
 * itself a setting.
 */
export function keyOfFile(name: string): string | null {
  const key = name.endsWith('_FILE') ? name.slice(0, -'_FILE'.length) : '';
  return key !== 'TLS_KEY' && mayBeInFile(key) ? key : null;
}

function contentOf(name: string, path: unknown, readFile: (path: string) => string): string {
  if (typeof path !== 'string') throw new SettingError(name, 'must be the path of a file');
  let text: string;
  try {
    text = readFile(path).trim();
  } catch (error) {
    throw new SettingError(name, `cannot read ${path}: ${(error as NodeJS.ErrnoException).code ?? 'unreadable'}`);
  }
  if (text === '') throw new SettingError(name, `${path} is empty: write the value into it`);
  return text;
}
