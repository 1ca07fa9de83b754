/** MQTT topics and topic filters, and the inbox topics that we make for single clients. Pure functions. */

const INBOX = '$offline';

/** MQTT 5, 4.7: `+` is one level, `#` the rest with its parent; a wildcard in the first level doesn't match topics that begin with `$`. */
export function matches(filter: string, topic: string): boolean {
  if (topic.startsWith('$') && (filter.startsWith('+') || filter.startsWith('#'))) return false;
  const filters = filter.split('/');
  const levels = topic.split('/');
  for (const [i, each] of filters.entries()) {
    if (each === '#') return true;
    if (i >= levels.length || (each !== '+' && each !== levels[i])) return false;
  }
  return filters.length === levels.length;
}

export interface SharedFilter {
  /** null: not a shared subscription. */
  readonly group: string | null;
  readonly filter: string;
}

/** Takes `$share/{group}/{filter}` apart, and EMQX's `$queue/{filter}`, a group of its own. */
export function splitShare(filter: string): SharedFilter {
  const share = /^\$share\/([^/]+)\/(.+)$/s.exec(filter);
  if (share !== null) return { group: share[1] ?? '', filter: share[2] ?? '' };
  if (filter.startsWith('$queue/')) return { group: '$queue', filter: filter.slice('$queue/'.length) };
  return { group: null, filter };
}

export function isWildcard(filter: string): boolean {
  return filter.split('/').some((level) => level === '+' || level === '#');
}

/** The topic that reaches the client alone (promise 7): `$offline/{clientid}/{topic}`. */
export function inboxTopic(clientid: string, topic: string): string {
  return `${INBOX}/${encodeLevel(clientid)}/${topic}`;
}

export function inboxFilter(clientid: string): string {
  return `${INBOX}/${encodeLevel(clientid)}/#`;
}

export function isInbox(topic: string): boolean {
  return topic === INBOX || topic.startsWith(`${INBOX}/`);
}

/** The inverse of inboxTopic; null for any other topic. */
export function stripInbox(topic: string): { clientid: string; topic: string } | null {
  const parts = /^\$offline\/([^/]*)\/(.*)$/s.exec(topic);
  if (parts === null) return null;
  const clientid = (parts[1] ?? '').replace(/%(25|2F|2B|23)/g, (code) => decodeURIComponent(code));
  return { clientid, topic: parts[2] ?? '' };
}

/** A client id may hold what would break a topic level; only that is percent-encoded, so that ordinary ids stay readable. */
function encodeLevel(clientid: string): string {
  return clientid.replace(/[%/+#]/g, (character) => encodeURIComponent(character));
}
