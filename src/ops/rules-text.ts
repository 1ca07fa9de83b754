import { ownUrl } from '../config/own-url';
import type { Config } from '../config/config';
import type { Change, FieldChange } from '../emqx/installer';

/** Longer values stand on lines of their own. */
const SHORT = 60;

const SIGNS = { add: '+', change: '~', remove: '-' } as const;
const DONE = { add: 'added', change: 'changed', remove: 'removed' } as const;

/** The command that puts the rule for this server into EMQX; it reads EMQX's key and INGEST_TOKEN from the server's own settings. */
export function installCommand(config: Pick<Config, 'host' | 'port' | 'tls'>): string {
  return `npx emqx-offline-store rules --install --url ${ownUrl(config) ?? setupUrl(config)}`;
}

/** The server's address where HOST does not tell it: the operator fills it in. */
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
