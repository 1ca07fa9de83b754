import type { JobType } from 'bullmq';
import { idOf } from './course';
import type { Head } from './head';
import type { Placed, State } from './places';
import type { StoredQueue } from './queue';

/** BullMQ's states that jobs of this backend can be in; in all others there are none. */
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
 * The ids of a range of each state, as Redis has them: jobs that wait or are active are counted from the newest, and come in this order; the others come
 * from the latest, or from the earliest (ascending) and are counted so. Numbers below zero count from the end. Ascending turns round how waiting and active jobs
 * are counted, not how they come.
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

/** From the last, or from the first. */
function ids(queue: StoredQueue, head: Head, state: State, start: number, end: number, isFromFirst: boolean): string[] {
  const size = head[state];
  const from = Math.max(0, start < 0 ? size + start : start);
  const to = Math.min(size - 1, end < 0 ? size + end : end);
  if (from > to) return [];
  if (state === 'active')
    return byTake(queue, head)
      .slice(from, to + 1)
      .map(({ course }) => idOf(course));
  // From the end that is nearer.
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

/** The active jobs, from the one that was taken last. */
function byTake(queue: StoredQueue, head: Head): Placed[] {
  return [...queue.places.all(head, 'active')].sort((a, b) => (b.lock?.take ?? 0) - (a.lock?.take ?? 0));
}
