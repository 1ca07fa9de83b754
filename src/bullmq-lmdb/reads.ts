import type { JobType } from 'bullmq';
import { idOf } from './course';
import type { Head } from './head';
import type { Placed, State } from './places';
import type { StoredQueue } from './queue';

/** BullMQ's states that jobs of this backend can have. No job is in any other state. */
const STATES: Partial<Record<JobType | 'wait', State>> = {
  waiting: 'waiting',
  wait: 'waiting',
  active: 'active',
  delayed: 'delayed',
  completed: 'completed',
  failed: 'failed',
};

export function stateOf(type: string): State | undefined {
  return STATES[type as JobType];
}

export function counts(queue: StoredQueue, types: readonly JobType[], delayedBefore: number | undefined): number[] {
  const head = queue.head();
  return types.map((type) => {
    const state = stateOf(type);
    if (state === 'delayed' && delayedBefore !== undefined)
      return [...queue.places.before(head, state, delayedBefore, head.delayed)].length;
    return state === undefined ? 0 : head[state];
  });
}

/**
 * The ids of a range of each state, as BullMQ's Redis backend returns them. Waiting and active jobs are counted from
 * the newest and returned in this order. The others are counted and returned from the latest, or if ascending from the
 * earliest. Negative numbers count from the end. Ascending reverses how waiting and active jobs are counted, but not
 * how they are returned.
 */
export function ranges(queue: StoredQueue, types: readonly JobType[], start: number, end: number, isAscending: boolean): string[][] {
  const head = queue.head();
  return types.map((type) => {
    const state = stateOf(type);
    if (state === undefined) return [];
    const isList = state === 'waiting' || state === 'active';
    if (isList && isAscending) return ids(queue, head, state, end === -1 ? 0 : -(end + 1), start === -1 ? 0 : -(start + 1), false);
    return ids(queue, head, state, start, end, isAscending);
  });
}

/** Reads from the last job, or from the first. */
function ids(queue: StoredQueue, head: Head, state: State, start: number, end: number, isFromFirst: boolean): string[] {
  const size = head[state];
  const from = Math.max(0, start < 0 ? size + start : start);
  const to = Math.min(size - 1, end < 0 ? size + end : end);
  if (from > to) return [];
  if (state === 'active')
    return byTake(queue, head)
      .slice(from, to + 1)
      .map(({ course }) => idOf(course));
  // Reads from the end that is nearer.
  const isTurned = size - 1 - to < from;
  const [skip, last] = isTurned ? [size - 1 - to, size - 1 - from] : [from, to];
  const found: string[] = [];
  let index = 0;
  for (const { course } of queue.places.all(head, state, isFromFirst === isTurned)) {
    if (index >= skip) found.push(idOf(course));
    if (index++ === last) break;
  }
  return isTurned ? found.reverse() : found;
}

/** The active jobs, starting with the one that was taken last. */
function byTake(queue: StoredQueue, head: Head): Placed[] {
  return [...queue.places.all(head, 'active')].sort((a, b) => (b.lock?.take ?? 0) - (a.lock?.take ?? 0));
}
