/**
 * MQTT topics and topic filters, and the inbox topics that the server makes for single clients. All functions are pure.
 */

const INBOX = '$offline';

/**
 * Matching as in MQTT 5, section 4.7: `+` is one level, `#` is the rest including its parent. A wildcard in the first
 * level does not match topics that begin with `$`.
 */
export function matches(filter: string, topic: string): boolean {
  if (topic.startsWith('$') && (filter.startsWith('+') || filter.startsWith('#'))) return false;
  // Every event is matched with every policy, so the levels are compared in place, without arrays.
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
  /** null if it is not a shared subscription. */
  readonly group: string | null;
  readonly filter: string;
}

const EXCLUSIVE = '$exclusive/';

/**
 * Splits `$share/{group}/{filter}`, and EMQX's `$queue/{filter}`, which is one group of its own. `$exclusive/{filter}`
 * matches what the filter matches. EMQX removes that prefix in its events, so only operators write it.
 */
export function splitShare(filter: string): SharedFilter {
  const share = /^\$share\/([^/]+)\/(.+)$/s.exec(filter);
  if (share !== null) return { group: share[1] ?? '', filter: share[2] ?? '' };
  if (filter.startsWith('$queue/')) return { group: '$queue', filter: filter.slice('$queue/'.length) };
  return { group: null, filter: filter.startsWith(EXCLUSIVE) ? filter.slice(EXCLUSIVE.length) : filter };
}

/** Whether EMQX's events call this exclusive subscription by the other filter. */
export function isExclusiveOf(exclusive: string, filter: string): boolean {
  return exclusive === `${EXCLUSIVE}${filter}`;
}

/**
 * A topic filter of EMQX's events without the listener's mountpoint. EMQX adds the mountpoint again to a subscription
 * that is made by REST.
 */
export function unmounted(filter: string, mountpoint: string): string {
  const [, share = '', plain = ''] = /^(\$share\/[^/]+\/|\$queue\/)?(.*)$/s.exec(filter) ?? [];
  return plain.startsWith(mountpoint) && plain !== mountpoint ? `${share}${plain.slice(mountpoint.length)}` : filter;
}

export function isWildcard(filter: string): boolean {
  return filter.split('/').some((level) => level === '+' || level === '#');
}

/** The topic that reaches only this client (promise 7): `$offline/{clientid}/{topic}`. */
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

/** Only characters that would break a topic level are percent-encoded, so that ordinary client ids stay readable. */
function encodeLevel(clientid: string): string {
  return clientid.replace(/[%/+#]/g, (character) => encodeURIComponent(character));
}
