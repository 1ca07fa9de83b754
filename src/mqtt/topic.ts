/** MQTT topics and topic filters, and the inbox topics that we make for single clients. Pure functions. */

const INBOX = '$offline';

/** MQTT 5, 4.7: `+` is one level, `#` the rest with its parent; a wildcard in the first level doesn't match topics that begin with `$`. */
export function matches(filter: string, topic: string): boolean {
  if (topic.startsWith('$') && (filter.startsWith('+') || filter.startsWith('#'))) return false;
  // Every event is matched with every policy: level by level in place, without an array of levels.
  for (let [f, t] = [0, 0]; ;) {
    if (filter[f] === '#') return true;
    const filterEnd = endOfLevel(filter, f);
    const topicEnd = endOfLevel(topic, t);
    const isPlus = filterEnd === f + 1 && filter[f] === '+';
    if (!isPlus && (filterEnd - f !== topicEnd - t || !topic.startsWith(filter.slice(f, filterEnd), t))) return false;
    if (topicEnd === topic.length) return filterEnd === filter.length || filter.slice(filterEnd) === '/#';
    if (filterEnd === filter.length) return false;
    [f, t] = [filterEnd + 1, topicEnd + 1];
  }
}

function endOfLevel(text: string, start: number): number {
  const end = text.indexOf('/', start);
  return end < 0 ? text.length : end;
}

export interface SharedFilter {
  /** null: not a shared subscription. */
  readonly group: string | null;
  readonly filter: string;
}

const EXCLUSIVE = '$exclusive/';

/**
 * Takes `$share/{group}/{filter}` apart, and EMQX's `$queue/{filter}`, a group of its own. `$exclusive/{filter}` matches what the filter matches: EMQX removes
 * the prefix before it tells of a subscription, so that only an operator writes it.
 */
export function splitShare(filter: string): SharedFilter {
  const share = /^\$share\/([^/]+)\/(.+)$/s.exec(filter);
  if (share !== null) return { group: share[1] ?? '', filter: share[2] ?? '' };
  if (filter.startsWith('$queue/')) return { group: '$queue', filter: filter.slice('$queue/'.length) };
  return { group: null, filter: filter.startsWith(EXCLUSIVE) ? filter.slice(EXCLUSIVE.length) : filter };
}

/** Whether the other one is what EMQX's events call this exclusive subscription. */
export function isExclusiveOf(exclusive: string, filter: string): boolean {
  return exclusive === `${EXCLUSIVE}${filter}`;
}

/** A topic filter as EMQX's events tell it, without what EMQX's listener has put before it: EMQX puts it there again when REST subscribes. */
export function unmounted(filter: string, mountpoint: string): string {
  const [, share = '', plain = ''] = /^(\$share\/[^/]+\/|\$queue\/)?(.*)$/s.exec(filter) ?? [];
  return plain.startsWith(mountpoint) && plain !== mountpoint ? `${share}${plain.slice(mountpoint.length)}` : filter;
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
