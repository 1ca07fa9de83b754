import { Job, type JobJson, type JobType, type Queue, type RedisQueueBackend } from 'bullmq';
import type { LaneProgress } from '../../src/lanes/sequence';

/** What an operation came to, in a form that can be compared. */
export type Outcome = { readonly value: unknown } | { readonly error: string; readonly code: unknown };

/** Options that a worker's backend has; a queue passes them on to its own. */
export const TAKING = { lockDuration: 3_600_000, maxStalledCount: 2, stalledInterval: 1 };
export const SHORT_LOCK_MS = 5;

const STATES: JobType[] = ['waiting', 'active', 'delayed', 'completed', 'failed'];
const WINDOWS = [
  [0, -1],
  [0, 1],
  [2, 4],
  [-3, -2],
  [3, 1],
] as const;

/** A job that was taken, and the token of its lock. */
interface Taken {
  readonly queue: number;
  readonly job: Job;
  readonly token: string;
  readonly isShort: boolean;
}

/** BullMQ's queues on one database, and the jobs that were taken from them. */
export class Side {
  taken: Taken[] = [];
  private takes = 0;

  constructor(
    readonly queues: readonly Queue[],
    private readonly progress: (queueName: string) => LaneProgress | Promise<LaneProgress | undefined>,
  ) {}

  queue(index: number): Queue {
    return this.queues[index % this.queues.length] as Queue;
  }

  private backend(index: number): RedisQueueBackend {
    return this.queue(index).getBackend();
  }

  async take(index: number, isShort: boolean): Promise<unknown> {
    const queue = index % this.queues.length;
    const isOneShort = isShort && !this.taken.some((each) => each.queue === queue && each.isShort);
    const options = this.queue(queue).opts as { lockDuration?: number };
    options.lockDuration = isOneShort ? SHORT_LOCK_MS : TAKING.lockDuration;
    const token = `token-${this.takes++}`;
    const next = await this.backend(queue).moveToActive(token);
    options.lockDuration = TAKING.lockDuration;
    return this.hold(queue, next, token, isOneShort);
  }

  /** Of several stalled jobs Redis tells no order: see take(), one has a short lock at a time. */
  private hold(queue: number, next: unknown, token: string, isShort: boolean): unknown {
    const [data, id, ...delays] = next as [JobJson | null, string, number, number];
    if (!data) return next;
    const job = Job.fromJSON(this.queue(queue), data, id);
    this.taken.push({ queue, job, token, isShort });
    return [shown(job), id, ...delays];
  }

  /** An operation on one of the taken jobs, 0: the last one, with its token or another one. One that ends well may be the end of it (not always it is forgotten). */
  async withTaken(index: number, isRight: boolean, work: (job: Job, token: string) => Promise<unknown>, isEnd = false): Promise<unknown> {
    const taken = this.taken.at(-1 - (index % Math.max(1, this.taken.length)));
    if (taken === undefined) return 'none';
    const result = await work(taken.job, isRight ? taken.token : 'another');
    if (isEnd && index !== 1) this.taken = this.taken.filter((each) => each !== taken);
    return Array.isArray(result) ? this.hold(taken.queue, result, taken.token, false) : result;
  }

  async extendAll(): Promise<unknown> {
    const results: unknown[] = [];
    for (const [index, queue] of this.queues.entries()) {
      const own = this.taken.filter((each) => each.queue === index);
      results.push(
        await queue.getBackend().extendLocks(
          own.map(({ job }) => job.id ?? ''),
          own.map(({ token }) => token),
          TAKING.lockDuration,
        ),
      );
    }
    return results;
  }

  sweep(index: number): Promise<string[]> {
    return this.backend(index).moveStalledJobsToWait();
  }

  /** All that can be seen of a queue. */
  async look(index: number, now: number): Promise<unknown> {
    const [queue, backend] = [this.queue(index), this.backend(index)];
    const all = await backend.getRanges(STATES, 0, -1, false);
    const ids = all.flat();
    const jobs = await Promise.all(
      ids.map(async (id) => {
        const [job, state, finished] = await Promise.all([queue.getJob(id), queue.getJobState(id), backend.isFinished(id, true)]);
        return {
          job: job && shown(job),
          state,
          finished,
          isDelayed: await backend.isJobInState('delayed', id),
          isWaiting: await backend.isJobInState('waiting', id),
        };
      }),
    );
    const windows = WINDOWS.flatMap(([start, end]) => [true, false].map((asc) => [start, end, asc] as const));
    return {
      all,
      jobs,
      ranges: await Promise.all(windows.map(([start, end, asc]) => queue.getRanges(STATES, start, end, asc))),
      raw: await Promise.all(windows.map(([start, end, asc]) => backend.getRanges(STATES, start, end, asc))),
      counts: await queue.getJobCounts(),
      soon: await backend.getCounts(['delayed', 'waiting'], now + 10),
      progress: await this.progress(queue.name),
      isMaxed: await queue.isMaxed(),
      isPaused: await queue.isPaused(),
      concurrency: await queue.getGlobalConcurrency(),
    };
  }
}

/** What there is of a job, beside its queue. */
export function shown(job: Job): unknown {
  const { parent: _parent, parentKey: _parentKey, ...json } = job.asJSON();
  return { ...json, delay: job.delay, deferredFailure: job.deferredFailure };
}

export async function outcome(work: () => Promise<unknown>): Promise<Outcome> {
  try {
    return { value: await work() };
  } catch (error) {
    return { error: (error as Error).message, code: (error as { code?: unknown }).code };
  }
}
