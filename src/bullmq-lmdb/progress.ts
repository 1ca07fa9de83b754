import type { Course } from './course';
import type { Head } from './head';
import { isMoved } from './places';
import type { StoredQueue } from './queue';

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
    // Those at their own places get newer and newer.
    if ((moved === 0 && isInOrder && course.ownId === null) || ++looked === LOOKED_AT) break;
  }
  return oldest;
}

function older({ number, ownId }: Course, oldest: number | null): number | null {
  return ownId === null && (oldest === null || number / 2 < oldest) ? number / 2 : oldest;
}
