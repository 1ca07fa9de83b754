import { ErrorCode } from 'bullmq';
import type { Refusal } from './errors';
import type { Head } from './head';
import { holder } from './lock';
import type { Placed } from './places';
import type { StoredQueue } from './queue';
import { NO_LOCK } from './take';

/** The active job that the token holds, or why the token does not hold it. With NO_LOCK the token is not checked. */
export function owned(queue: StoredQueue, head: Head, id: string, token: string, now: number): Placed | Refusal {
  const number = queue.numberOf(head, id);
  if (number === undefined) return ErrorCode.JobNotExist;
  const active = queue.places.findActive(head, number);
  if (token !== NO_LOCK) {
    const current = holder(active?.lock ?? null, now);
    if (current === undefined) return ErrorCode.JobLockNotExist;
    if (current !== token) return ErrorCode.JobLockMismatch;
  }
  return active ?? ErrorCode.JobNotInState;
}

/**
 * Extends the token's lock on the job.
 * @returns false if the token does not hold the lock.
 */
export function extend(queue: StoredQueue, head: Head, id: string, token: string, now: number, duration: number): boolean {
  const number = queue.numberOf(head, id);
  const active = number === undefined ? undefined : queue.places.findActive(head, number);
  if (active === undefined || active.lock === null || holder(active.lock, now) !== token) return false;
  queue.places.update(active, active.course, { ...active.lock, until: now + duration, isMarked: false });
  return true;
}
