import { LineCounter, parseDocument } from 'yaml';
import { SettingError } from '../base/errors';
import { yamlProblem } from './yaml-problem';

/**
 * Reads the settings of CONFIG_FILE. The schema rejects unknown keys later. A key without a value counts as not set.
 * @throws SettingError
 */
export function parseSettingsFile(path: string, readFile: (path: string) => string): Record<string, unknown> {
  const content = parseYaml(path, readText(path, readFile));
  if (content === null || content === undefined) return {};
  if (typeof content !== 'object' || Array.isArray(content)) {
    throw new SettingError('CONFIG_FILE', `${path} must contain settings, one "KEY: value" in each line`);
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

function parseYaml(path: string, text: string): unknown {
  const lines = new LineCounter();
  // Pretty errors are off, because they quote a line, which may have a password in it.
  const document = parseDocument(text, { prettyErrors: false, logLevel: 'error', lineCounter: lines });
  const found = yamlProblem(document);
  if (found === null) return document.toJS();
  const { line, col } = lines.linePos(found.offset);
  throw new SettingError('CONFIG_FILE', `${path}, line ${line}, column ${col}: the file is not valid YAML: ${found.problem}`);
}
