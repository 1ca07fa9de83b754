import { setTimeout as sleep } from 'node:timers/promises';
import { errorText, RetryableError } from '../base/errors';
import type { LaneJob } from './jobs';
import type { Ownership } from './ownership';
import type { JobSource, Taken } from './source';

/**
 * What is done with a lane's jobs. A job may be handled again after a crash or an error, or by another process that took it over. Handling
 * it twice must have the effect of once.
 */
export interface LaneWork<J extends LaneJob> {
  /** Whether this version of the server can handle the job. Jobs of other versions are set aside. */
  knows(job: LaneJob): boolean;
  /**
   * Handles all jobs at once.
   * @param again true if part of the work may be done already.
   * @returns the parts that failed, while everything else is done (promise 20).
   * @throws RetryableError for trouble that may pass.
   */
  handle(jobs: readonly J[], again: boolean): Promise<readonly Failed<J>[]>;
  /** The parts of the job that can succeed or fail independently. */
  split(job: J): readonly J[];
  /** Whether a service that all jobs need is away. Then nothing is wrong with the jobs, and the lane waits. Never throws. */
  isAway(): Promise<boolean>;
  /** Tries the part again after a pause. The lane continues without it. */
  postpone(part: J, delayMs: number): Promise<void>;
  /** Moves a part that never succeeds to the dead letters (promise 13). */
  setAside(part: J, reason: string): Promise<void>;
}

/** A part of a job, and its error. */
export interface Failed<J> {
  readonly part: J;
  readonly error: unknown;
}

export interface ConsumerOptions {
  /** If set, only the owner of the lane works on it, one batch at a time. null: all processes work on it. */
  readonly ownership: Pick<Ownership, 'hold' | 'renew' | 'release'> | null;
  /** The limits of one batch. A limit of 1 event means one job at a time. */
  readonly maxEvents: number;
  readonly maxBytes: number;
  /** Called for each job that was done, with the time at which it was due (ms): when it was added, unless it was delayed. */
  readonly onDone: (dueAt: number) => void;
  readonly onRetry: (lane: string, error: Error, attempt: number) => void;
}

const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 5_000;
/** How often a batch is tried as a whole. An error may be transient even if its class does not say so. */
const ATTEMPTS_TOGETHER = 3;
/** How often one part is tried by itself although no service is away. The pauses add up to about five minutes. */
const ATTEMPTS_ALONE = 8;
const FIRST_POSTPONE_MS = 2_000;
/** How often the locks of jobs are renewed (ms). BullMQ's lock on a job lasts 10 s (LOCK_MS in source.ts), enough for three renewals. */
const RENEW_MS = 3_000;
/** How many jobs are requested from the queue in parallel. */
const PREFETCH = 16;
/** How often a process checks whether a lane has lost its owner (ms). */
const OWNER_LOOK_MS = 500;
/** How long the consumer waits before it asks a queue again whose database was away (ms). */
const PAUSE_MS = 1_000;

/** Works on one lane: takes jobs that wait, as many as make one good batch, handles them, and takes the next. */
export class Consumer<J extends LaneJob> {
  private readonly stopping = new AbortController();
  /** The batches that are being handled: one, or two when the lane is behind. */
  private readonly inHand = new Set<readonly Taken[]>();
  /** When the work on each of these batches began (ms). */
  private readonly begun = new Set<{ readonly at: number }>();
  private troubles = 0;
  /** The number of jobs in the last batch. */
  private tookBefore = 1;
  private running: Promise<void> = Promise.resolve();
  private renewal: NodeJS.Timeout | null = null;

  constructor(
    private readonly source: JobSource,
    private readonly work: LaneWork<J>,
    private readonly options: ConsumerOptions,
    private readonly startedAt = Date.now(),
  ) {}

  open(): Promise<void> {
    return this.source.open();
  }

  /** @param onFailure is called if the consumer itself breaks, which is a bug. The consumer is not started again. */
  start(onFailure: (error: unknown) => void): void {
    this.renewal = setInterval(() => void this.renew(), RENEW_MS);
    this.running = this.run();
    this.running.catch(onFailure);
  }

  /** Jobs in hand are finished, or given back to the queue if they wait for a service. */
  async close(): Promise<void> {
    this.stopping.abort();
    await this.source.stopTaking().catch(() => undefined);
    await this.running.catch(() => undefined);
    if (this.renewal !== null) clearInterval(this.renewal);
    await this.options.ownership?.release().catch(() => undefined);
    await this.source.close();
  }

  /** When the work on the oldest batch in hand began (ms); null when there is none. A batch stays in hand while something that it needs is away. */
  get workingSince(): number | null {
    const [oldest] = this.begun;
    return oldest?.at ?? null;
  }

  get name(): string {
    return this.source.name;
  }

  private get isStopping(): boolean {
    return this.stopping.signal.aborted;
  }

  private async run(): Promise<void> {
    let previous: Promise<void> = Promise.resolve();
    while (!this.isStopping) {
      const taken: Taken[] = [];
      this.inHand.add(taken);
      const isFull = await this.take(taken).catch((error: unknown) => this.queueIsAway(error));
      const current = this.finish(taken);
      await previous;
      // While a message lane is behind, two batches are handled at once: one is read while the store writes the other.
      // Otherwise the next batch grows while this one is handled.
      if (!isFull || this.options.ownership !== null) await current;
      previous = current;
    }
    await previous;
  }

  private async finish(taken: readonly Taken[]): Promise<void> {
    const batch = { at: Date.now() };
    if (taken.length > 0) this.begun.add(batch);
    try {
      if (taken.length > 0) {
        const isDone = await this.doAll(taken);
        await (isDone ? this.source.complete(taken) : this.source.giveBack(taken));
        if (isDone) for (const { job } of taken) this.options.onDone(dueAt(job));
      }
    } catch (error) {
      await this.queueIsAway(error);
    }
    this.begun.delete(batch);
    this.inHand.delete(taken);
  }

  /** When the queue's database is back, the jobs come again, to this process or another one. */
  private async queueIsAway(error: unknown): Promise<boolean> {
    this.options.onRetry(this.source.name, asError(error), 1);
    await this.pause(PAUSE_MS);
    return false;
  }

  /**
   * Waits for one job, and then takes the jobs behind it that fit into the same batch.
   * @returns true if the batch is full, so that more jobs may wait.
   */
  private async take(taken: Taken[]): Promise<boolean> {
    const { maxEvents, maxBytes, ownership } = this.options;
    if (ownership !== null && !(await ownership.hold())) {
      await this.pause(OWNER_LOOK_MS);
      return false;
    }
    const first = await this.source.next(true);
    if (first === null) return false;
    taken.push(first);
    // With this limit the lane handles one job at a time, in whatever process.
    if (maxEvents === 1) return false;
    // Requests about as many jobs as the last batch had, because a request that finds no job costs the queue as much as
    // one that finds a job.
    let asked = Math.max(1, this.tookBefore - 1);
    let [events, bytes] = [0, 0];
    const count = ({ job: { data } }: Taken) =>
      ([events, bytes] = [events + countOf(data as J['data']), bytes + ((data as { bytes?: number }).bytes ?? 0)]);
    count(first);
    while (events < maxEvents && bytes < maxBytes && !this.isStopping) {
      const room = Math.min((maxEvents - events) / (events / taken.length), (maxBytes - bytes) / (bytes / taken.length || 1));
      const wanted = Math.min(PREFETCH, Math.ceil(room), asked);
      asked *= 2;
      const more = (await Promise.all(Array.from({ length: wanted }, () => this.source.next(false)))).filter((each) => each !== null);
      for (const each of more) {
        taken.push(each);
        count(each);
      }
      // Several connections to the queue may answer in any order.
      taken.sort((a, b) => Number(a.job.id) - Number(b.job.id));
      if (more.length < wanted) break;
    }
    this.tookBefore = taken.length;
    return events >= maxEvents || bytes >= maxBytes;
  }

  /**
   * Tries the same jobs until they are done. While a service that all need is away the lane waits, because jobs that are put at the end of
   * the lane would be overtaken (promise 14). If no service is away, one of the jobs is at fault, and each part is tried by itself (promise
   * 20).
   * @returns false if the process stops and the jobs must be given back.
   */
  private async doAll(taken: readonly Taken[]): Promise<boolean> {
    const all = taken.map(({ job }) => job as unknown as J);
    const jobs = all.filter((job) => this.work.knows(job));
    for (const job of all)
      if (!this.work.knows(job)) await this.work.setAside(job, 'this version of the server does not know this kind of job');
    if (jobs.length === 0) return true;
    // A part that has failed by itself before is tried only once here.
    const together = jobs.every(({ data }) => data.tries !== undefined) ? 1 : ATTEMPTS_TOGETHER;
    const isRepeated = taken.some(({ job }) => job.attemptsStarted > 1 || job.timestamp < this.startedAt);
    for (let attempt = 1; ; attempt++) {
      try {
        const failed = await this.work.handle(jobs, isRepeated || attempt > 1);
        if (failed.length === 0 || (await this.giveUpAll(failed))) {
          // After a second attempt the first error may only have been postponed, so the pauses keep growing.
          if (attempt === 1) this.troubles = 0;
          return true;
        }
      } catch (error) {
        this.options.onRetry(this.source.name, asError(error), attempt);
      }
      if (attempt >= together && !(await this.work.isAway()) && (await this.doApart(jobs))) {
        this.troubles = 0;
        return true;
      }
      await this.pause(Math.min(FIRST_RETRY_MS * 2 ** this.troubles++, LAST_RETRY_MS));
      if (this.isStopping) return false;
    }
  }

  /** @returns false if a service that all jobs need is away, so that the failed parts are not at fault. */
  private async giveUpAll(failed: readonly Failed<J>[]): Promise<boolean> {
    for (const { error } of failed.slice(0, 1)) this.options.onRetry(this.source.name, asError(error), 1);
    if (await this.work.isAway()) return false;
    for (const { part, error } of failed) await this.giveUp(part, error);
    return true;
  }

  /** @returns false if a service went away meanwhile, or the process stops. Some parts are done then, and all will be tried once more. */
  private async doApart(jobs: readonly J[]): Promise<boolean> {
    for (const part of jobs.flatMap((job) => this.work.split(job))) {
      if (this.isStopping) return false;
      try {
        const [failed] = await this.work.handle([part], true);
        if (failed !== undefined) throw failed.error;
      } catch (error) {
        if (await this.work.isAway()) return false;
        try {
          await this.giveUp(part, error);
        } catch (failure) {
          this.options.onRetry(this.source.name, asError(failure), 1);
          return false;
        }
      }
    }
    return true;
  }

  private async giveUp(part: J, error: unknown): Promise<void> {
    const tries = (part.data.tries ?? 0) + 1;
    const again = { ...part, data: { ...part.data, tries } };
    const isTransient = error instanceof RetryableError && tries < ATTEMPTS_ALONE;
    await (isTransient ? this.work.postpone(again, FIRST_POSTPONE_MS * 2 ** (tries - 1)) : this.work.setAside(part, errorText(error)));
  }

  private async renew(): Promise<void> {
    const inHand = [...this.inHand].flat();
    if (inHand.length === 0) return;
    // If a lock is lost, another process handles the job as well. Handling it twice has the effect of once.
    await Promise.all([this.source.renew(inHand), this.options.ownership?.renew()]).catch((error: unknown) =>
      this.options.onRetry(this.source.name, asError(error), 1),
    );
  }

  private async pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.stopping.signal }).catch(() => undefined);
  }
}

/** A job without a list of events counts as one event. */
function countOf(data: LaneJob['data']): number {
  return Math.max(1, data.events?.length ?? 1);
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

/** When the job was due (ms). Example: the wake of a mailbox that is added now for a time 10 s ahead does not lag by 10 s. */
const dueAt = ({ timestamp, opts }: Taken['job']): number => timestamp + (opts?.delay ?? 0);
