import type { components } from '../../contract/openapi';
import { isWildcard } from '../../mqtt/topic';
import type { Position } from '../../stores/store';
import { ReadSet } from './read-set';

export type PositionView = components['schemas']['ReadPosition'];

/**
 * A consumer's position of a topic as the API shows it, without the marks that `receipts` has for the server itself
 * (read-set.ts). null: the row is of a wildcard filter, which has nothing but times.
 */
export function positionView(position: Position): PositionView | null {
  if (isWildcard(position.topic)) return null;
  const { low, ranges, ids, unread, seenAt, startsAt } = ReadSet.of(position).shown();
  return {
    topic: position.topic,
    id: low === '' ? null : low,
    receipts: ids,
    ranges: ranges.map(({ first, last }) => ({ first, last })),
    unread,
    seen_at: seenAt,
    reads_from: startsAt,
  };
}
