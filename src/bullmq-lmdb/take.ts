import type { JobJson } from 'bullmq';
import { idOf, withMore, withoutMore } from './course';
import { isPausedOrMaxed, type Head } from './head';
import type { StoredQueue } from './queue';
import { jobOf } from './record';

/** How many delayed jobs one call promotes. */
const MOST_PROMOTED = 1_000;

/**
 * The job, its id, how long the queue is rate limited (never), and when the next delayed job is due (ms; 0 if there is
 * none).
 */
export type Next = [job: JobJson | null, id: string | 0, rateLimitDelay: 0, delayUntil: number];

export interface Taker {
  readonly token: string;
  /** In ms. */
  readonly lockDuration: number;
  readonly name: string | undefined;
}

/** BullMQ's token of a worker that takes no lock. */
export const NO_LOCK = '0';

export function nothing(delayUntil: number): Next {
  return [null, 0, 0, delayUntil];
}

/** Makes the delayed jobs wait that are due. */
export function promote(queue: StoredQueue, head: Head, now: number): void {
  if (head.delayed === 0) return;
  for (const placed of [...queue.places.before(head, 'delayed', now + 1, MOST_PROMOTED)]) {
    queue.places.remove(head, placed);
    queue.places.append(head, withoutMore(placed.course, 'delay'));
  }
}

/**
 * Makes the next job active.
 * @returns undefined if no job waits or is delayed.
 */
export function take(queue: StoredQueue, head: Head, now: number, { token, lockDuration, name }: Taker): Next | undefined {
  // Read before delayed jobs are promoted, which does not change it.
  const isBlocked = isPausedOrMaxed(head);
  promote(queue, head, now);
  if (isBlocked) return nothing(0);
  const placed = head.waiting === 0 ? undefined : queue.places.first(head, 'waiting');
  if (placed === undefined) {
    const due = head.delayed === 0 ? undefined : queue.places.firstTime(head, 'delayed');
    return due === undefined ? undefined : nothing(due);
  }
  const started = { ...placed.course, attemptsStarted: placed.course.attemptsStarted + 1, processedOn: now };
  const course = name === undefined ? started : withMore(started, { processedBy: name });
  const lock = token === NO_LOCK ? { token: null, until: 0 } : { token, until: now + lockDuration };
  queue.places.remove(head, placed);
  queue.places.putActive(head, course, { ...lock, take: head.takes++, isMarked: false });
  return [jobOf(queue.record(head, course.number) as Buffer, course), idOf(course), 0, 0];
}
