import type { StoredQueue } from './queue';
import type { State } from './places';
import type { Head } from './head';

export interface Progress {
  /** Of the job that was added last. */
  readonly tail: number;
  /** Of the oldest job that waits or is active; null: there is none. Delayed jobs do not count. */
  readonly oldest: number | null;
  /** Of the oldest that waits. */
  readonly waiting: number | null;
}

/** Jobs that were given back are in front, maybe out of order: so many of those that wait are looked at. */
const LOOKED_AT = 1_024;

/** How far the queue is, in the numbers of its counter. Jobs with ids of their own do not count. */
export function progressOf(queue: StoredQueue): Progress {
  const head = queue.head();
  const [waiting, active] = [least(queue, head, 'waiting'), least(queue, head, 'active')];
  const left = [waiting, active].filter((number) => number !== null);
  return { tail: head.counter, oldest: left.length === 0 ? null : Math.min(...left), waiting };
}

function least(queue: StoredQueue, head: Head, state: State): number | null {
  let [oldest, looked] = [null as number | null, 0];
  for (const { course } of queue.places.all(head, state)) {
    if (state === 'waiting' && looked++ === LOOKED_AT) break;
    const counter = course.number / 2;
    if (course.ownId === null && (oldest === null || counter < oldest)) oldest = counter;
  }
  return oldest;
}
