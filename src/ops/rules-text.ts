import { join, relative } from 'node:path';
import { ownUrl } from '../config/own-url';
import type { Config } from '../config/config';
import type { Change, FieldChange } from '../emqx/installer';
import type { RuleName } from '../emqx/rules';
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

interface InstallOptions {
  /** Without it the command installs its default set. */
  readonly set?: RuleName;
  /** Default: the topics of the policies. */
  readonly topics?: readonly string[];
}

/**
 * The command that installs the rule for this server in EMQX, with the server's address and the rule's topics. The
 * command reads EMQX's key and INGEST_TOKEN from the server's own settings.
 */
export function installCommand(
  config: Pick<Config, 'host' | 'port' | 'tls' | 'policies'>,
  { set, topics = ruleTopics(config.policies) }: InstallOptions = {},
): string {
  const setOption = set === undefined ? [] : ['--set', set];
  return [programCommand(), 'rules', '--install', ...setOption, '--url', setupUrl(config), ...topicOptions(topics)].join(' ');
}

/** The server's address for EMQX, or a placeholder if HOST is no address. The operator replaces the placeholder. */
export function setupUrl(config: Pick<Config, 'host' | 'port' | 'tls'>): string {
  return ownUrl(config) ?? `${config.tls === null ? 'http' : 'https'}://ADDRESS-OF-THIS-SERVER:${config.port}`;
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
