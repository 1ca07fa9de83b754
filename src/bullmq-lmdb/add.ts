import type { JobJson, ParentKeyOpts } from 'bullmq';
import { newCourse } from './course';
import { unsupported } from './errors';
import type { Head } from './head';
import { isCounter, type StoredQueue } from './queue';
import { encodeRecord } from './record';

export interface NewJob {
  readonly job: JobJson;
  readonly jobId: string | undefined;
  readonly parentKeyOpts?: ParentKeyOpts;
}

/** A job that is ready to be written. */
export interface Prepared {
  readonly record: Buffer;
  readonly ownId: string | null;
  readonly timestamp: number;
  /** In ms; 0 if the job waits at once. */
  readonly delay: number;
  readonly lifo: boolean;
}

/**
 * Does everything that needs no transaction.
 * @throws Error for features that this backend does not have
 */
export function prepare({ job, jobId, parentKeyOpts = {} }: NewJob): Prepared {
  const { opts } = job;
  if (job.parent !== undefined || job.parentKey !== undefined || parentKeyOpts.addToWaitingChildren === true)
    throw unsupported('a job with a parent or children');
  if (opts.priority !== undefined && opts.priority > 0) throw unsupported('a job with a priority');
  if (job.deduplicationId !== undefined || opts.deduplication !== undefined) throw unsupported('a job with deduplication');
  if (job.repeatJobKey !== undefined) throw unsupported('a job that repeats');
  const ownId = jobId === undefined || jobId === '' ? null : jobId;
  if (ownId !== null && isCounter(ownId)) throw new Error('Custom Id cannot be integers');
  const delay = opts.delay !== undefined && opts.delay > 0 ? opts.delay : 0;
  return { record: encodeRecord(job), ownId, timestamp: job.timestamp, delay, lifo: opts.lifo === true };
}

/** @returns the job's id */
export function add(queue: StoredQueue, head: Head, { record, ownId, timestamp, delay, lifo }: Prepared): string {
  head.counter++;
  if (ownId !== null && queue.numberOf(head, ownId) !== undefined) return ownId;
  const course = newCourse(head.counter, ownId, delay > 0 ? { delay } : undefined);
  queue.saveRecord(head, course, record);
  if (delay > 0) queue.places.putAt(head, 'delayed', timestamp + delay, course);
  else if (lifo) queue.places.prepend(head, course);
  else queue.places.appendNew(head, course);
  return ownId ?? String(head.counter);
}
