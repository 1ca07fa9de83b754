import { join, relative } from 'node:path';
import { ownUrl } from '../config/own-url';
import type { Config } from '../config/config';
import type { Change, FieldChange } from '../emqx/installer';
import { ruleTopics, topicOptions } from './rule-topics';

/** Two values that are longer together than twice this length are shown on lines of their own. */
const SHORT = 60;

const SIGNS = { add: '+', change: '~', remove: '-' } as const;
const DONE = { add: 'added', change: 'changed', remove: 'removed' } as const;

/** The path is right from dist/ops and, in tests, from src/ops. */
const PROGRAM = join(__dirname, '../../dist/main.js');

/**
 * How this program is started from the directory `from`: `node dist/main.js` in a clone and in the container. `npm
 * exec` needs 10 s or more the first time in a clone, and without the clone it asks npm's registry for a package of
 * this name.
 */
export function programCommand(from = process.cwd()): string {
  const path = relative(from, PROGRAM);
  const shown = path.startsWith('..') ? PROGRAM : path;
  return `node ${/^[\w./-]+$/.test(shown) ? shown : `'${shown}'`}`;
}

/**
 * The command that installs the rule for this server in EMQX, with the server's address and the topics of its policies.
 * The command reads EMQX's key and INGEST_TOKEN from the server's own settings.
 */
export function installCommand(config: Pick<Config, 'host' | 'port' | 'tls' | 'policies'>): string {
  const options = ['--install', '--url', ownUrl(config) ?? setupUrl(config), ...topicOptions(ruleTopics(config.policies))];
  return [programCommand(), 'rules', ...options].join(' ');
}

/** A placeholder for the server's address, for a HOST that is no address. The operator replaces it. */
export function setupUrl({ port, tls }: Pick<Config, 'port' | 'tls'>): string {
  return `${tls === null ? 'http' : 'https'}://ADDRESS-OF-THIS-SERVER:${port}`;
}

export function changeLines(changes: readonly Change[]): string[] {
  return changes.flatMap(({ kind, what, fields }) => [`${SIGNS[kind]} ${what}`, ...fields.flatMap((field) => fieldLines(kind, field))]);
}

export const doneLine = ({ kind, what }: Change): string => `${DONE[kind]}: ${what}`;

function fieldLines(kind: Change['kind'], { path, from, to }: FieldChange): string[] {
  if (kind === 'add') return [`    ${path}: ${to ?? '(none)'}`];
  if (kind === 'remove') return [`    ${path}: ${from ?? '(none)'}`];
  const [before, after] = [from ?? '(none)', to ?? '(none)'];
  if (before.length + after.length <= 2 * SHORT) return [`    ${path}: ${before} → ${after}`];
  return [`    ${path}:`, `      - ${before}`, `      + ${after}`];
}
