import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parse } from 'yaml';

export const ROOT = resolve(__dirname, '../..');
export const DOCKER = join(ROOT, 'docker');

export interface Service {
  readonly image?: string;
  readonly build?: { readonly context: string; readonly dockerfile: string };
  readonly profiles?: readonly string[];
  readonly restart?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly volumes?: readonly string[];
  readonly ports?: readonly string[];
  readonly command?: readonly string[];
  readonly networks?: { readonly default: { readonly aliases: readonly string[] } };
  readonly healthcheck?: { readonly test?: readonly string[]; readonly disable?: boolean };
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
}

export interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, null>>;
  readonly configs: Readonly<Record<string, { readonly content: string }>>;
}

/** `${NAME}`, `${NAME:-default}` and `${NAME:?message}`. */
const VARIABLE = /\$\{([A-Z_]+)(?::([-?])([^}]*))?\}/g;

const text = readFileSync(join(DOCKER, 'compose.yaml'), 'utf8');

export const variables = (): string[] => [...new Set([...text.matchAll(VARIABLE)].map(([, name = '']) => name))];

/** compose.yaml as Docker Compose reads it with these variables. @throws Error for one that is missing */
export function composeWith(env: Readonly<Record<string, string>>): Compose {
  const filled = text.replaceAll(VARIABLE, (_all, name: string, kind?: string, word = '') => {
    const value = env[name] ?? '';
    if (value !== '') return value;
    if (kind === '?') throw new Error(`${name}: ${word}`);
    return word;
  });
  return parse(filled, { merge: true }) as Compose;
}

/** KEY=value lines; Docker Compose takes quotes off. */
export function parseEnv(content: string): Record<string, string> {
  const lines = content.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1).replace(/^'(.*)'$/, '$1')]),
  );
}
