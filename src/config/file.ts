import { parse, YAMLParseError } from 'yaml';
import { SettingError } from '../base/errors';

/** The keys of CONFIG_FILE; unknown ones are the schema's to refuse. A key without a value counts as not set. @throws SettingError */
export function parseSettingsFile(path: string, readFile: (path: string) => string): Record<string, unknown> {
  const content = parseYaml(readText(path, readFile));
  if (content === null || content === undefined) return {};
  if (typeof content !== 'object' || Array.isArray(content)) {
    throw new SettingError('CONFIG_FILE', `${path} must hold settings, one "KEY: value" a line`);
  }
  return Object.fromEntries(Object.entries(content).filter(([, value]) => value !== null));
}

function readText(path: string, readFile: (path: string) => string): string {
  try {
    return readFile(path);
  } catch (error) {
    throw new SettingError('CONFIG_FILE', `cannot read ${path}: ${(error as NodeJS.ErrnoException).code ?? 'unreadable'}`);
  }
}

function parseYaml(text: string): unknown {
  try {
    // Pretty errors quote the line, which may be one with a password.
    return parse(text, { prettyErrors: false, logLevel: 'error' });
  } catch (error) {
    const at = error instanceof YAMLParseError ? ` (${error.code} in line ${text.slice(0, error.pos[0]).split('\n').length})` : '';
    throw new SettingError('CONFIG_FILE', `is not valid YAML${at}`);
  }
}
