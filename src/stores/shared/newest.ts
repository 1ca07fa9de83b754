import type { ClientState, Position, RetainedRef, Subscription } from '../store';
import { compareText } from './order';
import { versionOf } from './versions';

/**
 * Reduces a batch to one entry per row. Most databases refuse to change a row twice in one statement, or don't define
 * which change wins.
 */

export function newestStates(states: readonly ClientState[]): ClientState[] {
  return newest(
    states,
    ({ clientid }) => clientid,
    (kept, next) => kept.at <= next.at,
  );
}

/** One message per topic (see RetainedStore). */
export function newestMessages<M extends RetainedRef>(messages: readonly M[]): M[] {
  return newest(
    messages,
    ({ topic }) => topic,
    (kept, next) => !isNewer(kept, next),
  );
}

/** Whether the retained message is newer than the other one. */
export function isNewer(message: Omit<RetainedRef, 'topic'>, other: Omit<RetainedRef, 'topic'>): boolean {
  if (message.publishReceivedAt !== other.publishReceivedAt) return message.publishReceivedAt > other.publishReceivedAt;
  return compareText(message.id, other.id) > 0;
}

export function lastSubscriptions(subscriptions: readonly Subscription[]): Subscription[] {
  return newest(
    subscriptions,
    ({ clientid, topic }) => JSON.stringify([clientid, topic]),
    () => true,
  );
}

/** The positions with the greatest version. `gone` are positions without content, which are to be deleted. */
export function lastPositions(positions: readonly Position[]): { readonly kept: Position[]; readonly gone: Position[] } {
  const last = newest(
    positions,
    ({ consumer, topic }) => JSON.stringify([consumer, topic]),
    (kept, next) => versionOf(kept) <= versionOf(next),
  );
  const isGone = ({ id, receipts }: Position): boolean => id === '' && receipts.length === 0;
  return { kept: last.filter((position) => !isGone(position)), gone: last.filter(isGone) };
}

function newest<T>(entries: readonly T[], keyOf: (entry: T) => string, replaces: (kept: T, next: T) => boolean): T[] {
  const left = new Map<string, T>();
  for (const entry of entries) {
    const kept = left.get(keyOf(entry));
    if (kept === undefined || replaces(kept, entry)) left.set(keyOf(entry), entry);
  }
  return [...left.values()];
}
