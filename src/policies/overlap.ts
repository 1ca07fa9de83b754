import type { Policy } from '../config/policies';
import { isInbox, splitShare } from '../mqtt/topic';

/**
 * Whether stored messages can reach a subscriber of the topic filter: a topic that the filter matches must belong to a
 * policy of the mode (of any mode except `off`). Inbox subscriptions never count, because the server makes them itself
 * (promise 8).
 */
export function canReach(policies: readonly Policy[], filter: string, mode?: Policy['mode']): boolean {
  const { filter: plain } = splitShare(filter);
  if (isInbox(plain)) return false;
  const isWanted = (policy: Policy) => (mode === undefined ? policy.mode !== 'off' : policy.mode === mode);
  return policies.some((policy, i) => {
    const common = isWanted(policy) ? intersection(policy.filter, plain) : null;
    return common !== null && !policies.slice(0, i).some((earlier) => !isWanted(earlier) && covers(earlier.filter, common));
  });
}

/** Whether a policy that the filter can reach delivers to the subscriber's inbox. */
export function reachesInbox(policies: readonly Policy[], filter: string): boolean {
  const { filter: plain } = splitShare(filter);
  return policies.some((policy) => policy.mode !== 'off' && policy.deliverTo === 'inbox' && intersection(policy.filter, plain) !== null);
}

/** The filter of the topics that both filters match; null if there are none. Both filters are without `$share/...`. */
export function intersection(a: string, b: string): string | null {
  if (hides(a, b) || hides(b, a)) return null;
  const [left, right] = [a.split('/'), b.split('/')];
  const common: string[] = [];
  for (let i = 0; i < left.length || i < right.length; i++) {
    const [x, y] = [left[i], right[i]];
    if (x === '#') return [...common, ...right.slice(i)].join('/');
    if (y === '#') return [...common, ...left.slice(i)].join('/');
    if (x === undefined || y === undefined || (x !== y && x !== '+' && y !== '+')) return null;
    common.push(x === '+' ? y : x);
  }
  return common.join('/');
}

/** Whether the filter matches every topic that the other filter matches. */
export function covers(filter: string, other: string): boolean {
  if (hides(filter, other)) return false;
  const [levels, others] = [filter.split('/'), other.split('/')];
  for (const [i, level] of levels.entries()) {
    if (level === '#') return true;
    const its = others[i];
    if (its === undefined || its === '#' || (level !== '+' && level !== its)) return false;
  }
  return levels.length === others.length;
}

/** A wildcard in the first level doesn't match topics that begin with `$` (MQTT 5, 4.7.2). */
function hides(filter: string, other: string): boolean {
  return other.startsWith('$') && (filter.startsWith('+') || filter.startsWith('#'));
}
