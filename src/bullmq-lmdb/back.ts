import { ErrorCode } from 'bullmq';
import { idOf, withMore, withoutMore, type Course, type More } from './course';
import type { Refusal } from './errors';
import type { Head } from './head';
import { holder } from './lock';
import { owned } from './own';
import type { Placed } from './places';
import type { StoredQueue } from './queue';
import { promote, take, type Next, type Taker } from './take';

/** Makes an active job the next one of its queue. */
export function giveBack(queue: StoredQueue, head: Head, id: string, token: string, now: number): 0 | Refusal {
  const placed = owned(queue, head, id, token, now);
  if (placed === ErrorCode.JobNotInState) return 0;
  if (typeof placed === 'number') return placed;
  queue.places.remove(head, placed);
  queue.places.prepend(head, placed.course);
  return 0;
}

/** Makes an active job wait again after a failed attempt: after all others, or as the next one (lifo). */
export function retry(queue: StoredQueue, head: Head, id: string, token: string, now: number, lifo: boolean, more: More): 0 | Refusal {
  promote(queue, head, now);
  const placed = owned(queue, head, id, token, now);
  if (typeof placed === 'number') return placed;
  const course = withMore({ ...placed.course, attemptsMade: placed.course.attemptsMade + 1 }, more);
  queue.places.remove(head, placed);
  if (lifo) queue.places.prepend(head, course);
  else queue.places.append(head, course);
  return 0;
}

export interface Delay {
  readonly id: string;
  readonly token: string;
  /** When the delay begins (ms). */
  readonly now: number;
  readonly delay: number;
  /** True if the attempt does not count. */
  readonly skipAttempt: boolean;
  readonly more: More;
  readonly next: Taker | null;
}

/** Makes an active job wait again after a delay. */
export function delay(queue: StoredQueue, head: Head, { id, token, now, delay: ms, skipAttempt, more, next }: Delay): Next | [] | Refusal {
  const placed = owned(queue, head, id, token, now);
  if (typeof placed === 'number') return placed;
  const course = withMore({ ...placed.course, attemptsMade: placed.course.attemptsMade + (skipAttempt ? 0 : 1) }, { ...more, delay: ms });
  queue.places.remove(head, placed);
  queue.places.putAt(head, 'delayed', ms > 0 ? now + ms : now, course);
  const taken = next === null ? undefined : take(queue, head, now, next);
  return taken === undefined || taken[0] === null ? [] : taken;
}

/** Changes the delay of a delayed job. */
export function changeDelay(queue: StoredQueue, head: Head, id: string, now: number, ms: number): 0 | Refusal {
  const placed = queue.find(head, id);
  if (placed === undefined) return ErrorCode.JobNotExist;
  if (placed.state !== 'delayed') return ErrorCode.JobNotInState;
  queue.places.remove(head, placed);
  queue.places.putAt(head, 'delayed', ms > 0 ? now + ms : now, withMore(placed.course, { delay: ms }));
  return 0;
}

/** Makes a delayed job wait now. */
export function promoteOne(queue: StoredQueue, head: Head, id: string): 0 | Refusal {
  const placed = queue.find(head, id);
  if (placed?.state !== 'delayed') return ErrorCode.JobNotInState;
  queue.places.remove(head, placed);
  queue.places.append(head, withoutMore(placed.course, 'delay'));
  return 0;
}

/**
 * Moves stalled jobs to the front of the queue, in their order. A job is stalled if its lock has expired and nobody has
 * renewed it since the last call. The other active jobs are marked for the next call.
 * @returns the ids of the moved jobs
 */
export function sweepStalled(queue: StoredQueue, head: Head, now: number, maxStalledCount: number): string[] {
  const active = [...queue.places.all(head, 'active')];
  const stalled = active.filter(({ lock }) => lock?.isMarked === true && holder(lock, now) === undefined);
  for (const placed of stalled.toReversed()) {
    const counted = { ...placed.course, stalledCounter: placed.course.stalledCounter + 1 };
    const isTooMuch = counted.stalledCounter > maxStalledCount;
    toFront(queue, head, placed, isTooMuch ? withMore(counted, { deferredFailure: 'job stalled more than allowable limit' }) : counted);
  }
  for (const placed of active)
    if (placed.lock?.isMarked === false) queue.places.update(placed, placed.course, { ...placed.lock, isMarked: true });
  return stalled.map(({ course }) => idOf(course));
}

/** Moves all active jobs to the front of the queue, in their order, because their process is gone. */
export function recover(queue: StoredQueue, head: Head): void {
  for (const placed of [...queue.places.all(head, 'active')].reverse()) toFront(queue, head, placed, placed.course);
}

function toFront(queue: StoredQueue, head: Head, placed: Placed, course: Course): void {
  queue.places.remove(head, placed);
  queue.places.prepend(head, course);
}
