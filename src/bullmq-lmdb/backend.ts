import {
  ErrorCode,
  type IQueueBackend,
  type JobJson,
  type JobProgress,
  type KeepJobs,
  type MinimalJob,
  type MoveToDelayedOpts,
  type ParentKeyOpts,
  type RetryJobOpts,
} from 'bullmq';
import { add, prepare, type NewJob } from './add';
import { changeDelay, delay, giveBack, promoteOne, retry, sweepStalled } from './back';
import { drain, obliterate } from './bulk';
import { withMore, type More } from './course';
import { unlessRefused, type Refusal } from './errors';
import { finish, keepOf, remove, type Finish } from './finish';
import type { Head } from './head';
import { holder } from './lock';
import { extend } from './own';
import { Reading } from './reading';
import { withData } from './record';
import { nothing, NO_LOCK, take, type Next, type Taker } from './take';

type Job<T, R, N extends string> = MinimalJob<T, R, N>;
type Fields = Record<string, unknown> | undefined;

/** A queue of BullMQ on LMDB. */
export class LmdbBackend extends Reading implements IQueueBackend {
  forQueue(queueName: string): LmdbBackend {
    return new LmdbBackend(this.tables, queueName, this.options);
  }

  async addJob(job: JobJson, jobId: string, parentKeyOpts?: ParentKeyOpts): Promise<string> {
    const [id = ''] = await this.addJobs([{ job, jobId, ...(parentKeyOpts && { parentKeyOpts }) }]);
    return id;
  }

  /** Adds all jobs or none. */
  async addJobs(entries: NewJob[]): Promise<string[]> {
    const prepared = entries.map(prepare);
    return this.queue.durably((head) => prepared.map((job) => add(this.queue, head, job)));
  }

  async moveToActive(token: string, name?: string): Promise<unknown[]> {
    const now = Date.now();
    const until = this.queue.signal.nothingUntil(now);
    if (until !== null) return nothing(until);
    return this.queue.write((head) => take(this.queue, head, Date.now(), this.taker(token, name)) ?? nothing(0));
  }

  private taker(token: string, name: string | undefined): Taker {
    return { token, name, lockDuration: this.options.lockDuration ?? 0 };
  }

  async moveToCompleted<T, R, N extends string>(
    job: Job<T, R, N>,
    returnValue: R,
    removeOnComplete: boolean | number | KeepJobs | undefined,
    token: string,
    fetchNext = false,
  ) {
    const returnvalue = (JSON.stringify(returnValue) as string | undefined) ?? 'null';
    return this.finish(
      { job, state: 'completed', token, more: { returnvalue }, keep: keepOf(removeOnComplete, this.options.removeOnComplete) },
      fetchNext,
    );
  }

  async moveToFailed<T, R, N extends string>(
    job: Job<T, R, N>,
    failedReason: string,
    removeOnFail: boolean | number | KeepJobs | undefined,
    token: string,
    fetchNext = false,
    fieldsToUpdate?: Fields,
  ) {
    return this.finish(
      {
        job,
        state: 'failed',
        token,
        more: { ...moreOf(fieldsToUpdate), failedReason },
        keep: keepOf(removeOnFail, this.options.removeOnFail),
      },
      fetchNext,
    );
  }

  private async finish(given: Omit<Finish, 'now' | 'next'>, fetchNext: boolean): Promise<{ result: Next | []; finishedOn: number }> {
    const now = Date.now();
    const next = this.nextTaker(fetchNext, given.token);
    const answer = await this.queue.write((head) => finish(this.queue, head, { ...given, now, next }));
    return { result: unlessRefused(answer, given.job.id ?? '', 'moveToFinished', 'active'), finishedOn: now };
  }

  private nextTaker(fetchNext: boolean, token: string): Taker | null {
    return fetchNext && this.closing === undefined ? this.taker(token, this.options.name) : null;
  }

  async moveToDelayed(
    jobId: string,
    timestamp: number,
    ms: number,
    token = NO_LOCK,
    { skipAttempt = false, fieldsToUpdate, fetchNext = false }: MoveToDelayedOpts = {},
  ): Promise<unknown[]> {
    const next = this.nextTaker(fetchNext, token);
    const given = { id: jobId, token, now: timestamp, delay: ms, skipAttempt, more: moreOf(fieldsToUpdate), next };
    return unlessRefused(await this.queue.write((head) => delay(this.queue, head, given)), jobId, 'moveToDelayed', 'active');
  }

  async moveJobFromActiveToWait(jobId: string, token = NO_LOCK): Promise<number> {
    return this.move(jobId, 'moveJobFromActiveToWait', 'active', (head) => giveBack(this.queue, head, jobId, token, Date.now()));
  }

  async retryJob(jobId: string, lifo: boolean, token = NO_LOCK, { fieldsToUpdate }: RetryJobOpts = {}): Promise<void> {
    await this.move(jobId, 'retryJob', 'active', (head) => retry(this.queue, head, jobId, token, Date.now(), lifo, moreOf(fieldsToUpdate)));
  }

  async promote(jobId: string): Promise<void> {
    await this.move(jobId, 'promote', 'delayed', (head) => promoteOne(this.queue, head, jobId));
  }

  async changeDelay(jobId: string, ms: number): Promise<void> {
    await this.move(jobId, 'changeDelay', 'delayed', (head) => changeDelay(this.queue, head, jobId, Date.now(), ms));
  }

  private async move(jobId: string, command: string, state: string, work: (head: Head) => 0 | Refusal): Promise<number> {
    return unlessRefused(await this.queue.write(work), jobId, command, state);
  }

  /** Checks once per `stalledInterval`, whichever worker asks. If no job is active, nothing is written. */
  async moveStalledJobsToWait(): Promise<string[]> {
    const { maxStalledCount = 1, stalledInterval = 30_000 } = this.options;
    const now = Date.now();
    if (!this.queue.beginStalledCheck(now, stalledInterval) || this.queue.head().active === 0) return [];
    return this.queue.write((head) => sweepStalled(this.queue, head, now, maxStalledCount));
  }

  async extendLock(jobId: string, token: string, duration: number): Promise<number> {
    return (await this.extendLocks([jobId], [token], duration)).length === 0 ? 1 : 0;
  }

  async extendLocks(jobIds: string[], tokens: string[], duration: number): Promise<string[]> {
    return this.queue.write((head) => jobIds.filter((id, i) => !extend(this.queue, head, id, tokens[i] ?? '', Date.now(), duration)));
  }

  /** @returns 1 also if there is no such job. */
  async remove(jobId: string): Promise<number> {
    return this.queue.write((head) => {
      const placed = this.queue.find(head, jobId);
      if (placed === undefined) return 1;
      if (holder(placed.lock, Date.now()) !== undefined) return 0;
      remove(this.queue, head, placed);
      return 1;
    });
  }

  async drain(delayed: boolean): Promise<void> {
    await drain(this.queue, delayed);
  }

  async obliterate(opts: { force: boolean; count: number }): Promise<number> {
    return obliterate(this.queue, opts);
  }

  async updateData<T, R, N extends string>({ id = '' }: Job<T, R, N>, data: T): Promise<void> {
    await this.move(id, 'updateData', '', (head) => {
      const placed = this.queue.find(head, id);
      const record = placed && this.queue.record(head, placed.course.number);
      if (placed === undefined || record === undefined) return ErrorCode.JobNotExist;
      this.queue.replaceRecord(head, placed.course, withData(record, JSON.stringify(data)));
      return 0;
    });
  }

  async updateProgress(jobId: string, progress: JobProgress): Promise<void> {
    await this.move(jobId, 'updateProgress', '', (head) => {
      const placed = this.queue.find(head, jobId);
      if (placed === undefined) return ErrorCode.JobNotExist;
      this.queue.places.update(placed, withMore(placed.course, { progress: JSON.stringify(progress) }), placed.lock);
      return 0;
    });
  }

  /** This backend has no events. */
  async trimEvents(): Promise<number> {
    return 0;
  }

  async publishEvent(): Promise<string> {
    return '0-0';
  }
}

/** What BullMQ notes about a failed attempt. */
function moreOf(fields: Fields): More {
  const { failedReason, stacktrace } = (fields ?? {}) as More;
  return { ...(failedReason !== undefined && { failedReason }), ...(stacktrace !== undefined && { stacktrace }) };
}
