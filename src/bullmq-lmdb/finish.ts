import type { KeepJobs, MinimalJob } from 'bullmq';
import { withMore, withoutMore, type Course, type More } from './course';
import type { Refusal } from './errors';
import type { Head } from './head';
import { owned } from './own';
import type { Placed } from './places';
import type { StoredQueue } from './queue';
import { take, type Next, type Taker } from './take';

/** How many finished jobs are kept, and for how long (s). A `count` of -1 keeps all. */
export interface Keep {
  readonly count?: number;
  readonly age?: number;
  /** How many jobs one call removes because of their age. */
  readonly limit?: number;
}

export interface Finish {
  readonly job: Pick<MinimalJob, 'id'>;
  readonly state: 'completed' | 'failed';
  readonly token: string;
  readonly now: number;
  /** What is stored with a job that is kept. */
  readonly more: More;
  readonly keep: Keep;
  /** null if no next job is requested. */
  readonly next: Taker | null;
}

/** How many jobs one call removes because of their age, unless `limit` is set. */
const MOST_AGED = 1_000;

/** Interprets `removeOnComplete` and `removeOnFail` like BullMQ: the job's option counts, or else the worker's. */
export function keepOf(ofJob: boolean | number | KeepJobs | undefined, ofWorker: KeepJobs | undefined): Keep {
  if (ofJob === undefined) return ofWorker ?? { count: -1 };
  if (typeof ofJob === 'object') return ofJob;
  if (typeof ofJob === 'number') return { count: ofJob };
  return { count: ofJob ? 0 : -1 };
}

/**
 * Ends an active job.
 * @returns the next job if it was requested and there is one.
 */
export function finish(
  queue: StoredQueue,
  head: Head,
  { job: { id = '' }, state, token, now, more, keep, next }: Finish,
): Next | [] | Refusal {
  const placed = owned(queue, head, id, token, now);
  if (typeof placed === 'number') return placed;
  queue.places.remove(head, placed);
  if (keep.count === 0) queue.removeRecord(head, placed.course);
  else {
    queue.places.putAt(head, state, now, finished(placed, { ...more, finishedOn: now }));
    trim(queue, head, state, now, keep);
  }
  return (next !== null && take(queue, head, now, next)) || [];
}

function finished({ course }: Placed, more: More): Course {
  const ended = { ...course, attemptsMade: course.attemptsMade + 1 };
  return withMore(more.failedReason === undefined ? ended : withoutMore(ended, 'deferredFailure'), more);
}

function trim(queue: StoredQueue, head: Head, state: 'completed' | 'failed', now: number, { age, count, limit = MOST_AGED }: Keep): void {
  if (age !== undefined)
    for (const placed of [...queue.places.before(head, state, now - age * 1_000 + 1, limit)]) remove(queue, head, placed);
  if (count === undefined || count <= 0) return;
  let excess = head[state] - count;
  if (excess <= 0) return;
  const oldest: Placed[] = [];
  for (const placed of queue.places.all(head, state)) {
    if (excess-- === 0) break;
    oldest.push(placed);
  }
  for (const placed of oldest) remove(queue, head, placed);
}

/** Removes the job from whatever state it is in. */
export function remove(queue: StoredQueue, head: Head, placed: Placed): void {
  queue.places.remove(head, placed);
  queue.removeRecord(head, placed.course);
}
