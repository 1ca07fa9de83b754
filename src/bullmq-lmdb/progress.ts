import type { Course } from './course';
import type { Head } from './head';
import { isMoved } from './places';
import type { StoredQueue } from './queue';

export interface Progress {
  /** The number of the job that was added last. */
  readonly tail: number;
  /** The number of the oldest job that waits or is active; null if there is none. Delayed jobs don't count. */
  readonly oldest: number | null;
  /** The number of the oldest job that waits. */
  readonly waiting: number | null;
}

/** How many waiting jobs are read at most. Jobs that were given back are at the front, possibly out of order. */
const LOOKED_AT = 1_024;

/** How far the queue is, in the numbers of its counter. Jobs with ids of their own don't count. */
export function progressOf(queue: StoredQueue): Progress {
  const head = queue.head();
  const [waiting, active] = [leastWaiting(queue, head), leastActive(queue, head)];
  const left = [waiting, active].filter((number) => number !== null);
  return { tail: head.counter, oldest: left.length === 0 ? null : Math.min(...left), waiting };
}

function leastActive(queue: StoredQueue, head: Head): number | null {
  let oldest: number | null = null;
  if (head.active > 0) for (const { course } of queue.places.all(head, 'active')) oldest = older(course, oldest);
  return oldest;
}

function leastWaiting(queue: StoredQueue, head: Head): number | null {
  let [oldest, looked, moved] = [null as number | null, 0, head.moved];
  for (const { key, course } of queue.places.all(head, 'waiting')) {
    oldest = older(course, oldest);
    const isInOrder = !isMoved(key, course.number);
    if (!isInOrder) moved--;
    // The jobs at their own places are in order, so all later ones are newer.
    if ((moved === 0 && isInOrder && course.ownId === null) || ++looked === LOOKED_AT) break;
  }
  return oldest;
}

function older({ number, ownId }: Course, oldest: number | null): number | null {
  return ownId === null && (oldest === null || number / 2 < oldest) ? number / 2 : oldest;
}
