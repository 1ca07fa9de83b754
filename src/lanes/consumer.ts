import { setTimeout as sleep } from 'node:timers/promises';
import { errorText, RetryableError } from '../base/errors';
import type { LaneJob } from './jobs';
import type { Ownership } from './ownership';
import type { JobSource, Taken } from './source';

/**
 * What is done with a lane's jobs. A job may be handled again after a crash, an error, or beside another process that took it over: handling it
 * twice has the effect of once.
 */
export interface LaneWork<J extends LaneJob> {
  /** Whether the job is one of these: another version of the server may have left something else, which is set aside. */
  knows(job: LaneJob): boolean;
  /**
   * All at once. `again`: part of it may be done. @returns what failed by itself, while everything else is done (promise 20). Throws RetryableError for
   * trouble that may pass.
   */
  handle(jobs: readonly J[], again: boolean): Promise<readonly Failed<J>[]>;
  /** The job's parts that can be done, and fail, by themselves. */
  split(job: J): readonly J[];
  /** Whether something that everybody needs is away: then nothing is wrong with the jobs, and the lane waits. Never throws. */
  isAway(): Promise<boolean>;
  /** Tries the part again after a pause; the lane goes on without it. */
  postpone(part: J, delayMs: number): Promise<void>;
  /** The part never succeeds: it goes to the dead letters (promise 13). */
  setAside(part: J, reason: string): Promise<void>;
}

/** A part of a job, and why it failed. */
export interface Failed<J> {
  readonly part: J;
  readonly error: unknown;
}

export interface ConsumerOptions {
  /** The lane is worked on by its owner alone, one batch at a time; null: by all processes. */
  readonly ownership: Pick<Ownership, 'hold' | 'renew' | 'release'> | null;
  /** How many events, and about how many bytes, are done at once; 1 event: one job at a time. */
  readonly maxEvents: number;
  readonly maxBytes: number;
  /** Hears of a job whose work ended well: when it was due (ms), which is when it was added unless it was delayed. */
  readonly onDone: (dueAt: number) => void;
  readonly onRetry: (lane: string, error: Error, attempt: number) => void;
}

const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 5_000;
/** An error that is not transient by its class may still be; a bug stays. */
const ATTEMPTS_TOGETHER = 3;
/** What fails by itself, though nothing is away, is tried so often by itself: for about five minutes. */
const ATTEMPTS_ALONE = 8;
const FIRST_POSTPONE_MS = 2_000;
/** BullMQ's lock on a job lasts 10 s (LOCK_MS in source.ts): three renewals fit into it. */
const RENEW_MS = 3_000;
/** Round trips to the queue that are under way at once when it takes many small jobs. */
const PREFETCH = 16;
/** How often it is looked whether the owner of a lane is gone. */
const OWNER_LOOK_MS = 500;
/** The consumer waits so long before it asks a queue again whose database was away. */
const PAUSE_MS = 1_000;

/** Works on one lane: takes what waits in it, as much as makes one good batch, does it, and takes the next. */
export class Consumer<J extends LaneJob> {
  private readonly stopping = new AbortController();
  /** The batches that are being worked on: one, or two when the lane is behind. */
  private readonly inHand = new Set<readonly Taken[]>();
  /** When the work on each of these batches began (ms). */
  private readonly begun = new Set<{ readonly at: number }>();
  private troubles = 0;
  /** How many jobs the last batch had. */
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

  /** @param onFailure hears of a consumer that broke, which is a bug; it is not started again. */
  start(onFailure: (error: unknown) => void): void {
    this.renewal = setInterval(() => void this.renew(), RENEW_MS);
    this.running = this.run();
    this.running.catch(onFailure);
  }

  /** What is in hand is finished, or given back if it waits for something. */
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
      // While a lane is behind, two batches are at work: one is read as the store writes the other. Otherwise the next batch grows meanwhile.
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

  /** When the queue's database is back its jobs come again, here or in another process. */
  private async queueIsAway(error: unknown): Promise<boolean> {
    this.options.onRetry(this.source.name, asError(error), 1);
    await this.pause(PAUSE_MS);
    return false;
  }

  /** Waits for one job, and takes those that wait behind it as far as they belong into one batch. @returns whether it is full, so that more may wait. */
  private async take(taken: Taken[]): Promise<boolean> {
    const { maxEvents, maxBytes, ownership } = this.options;
    if (ownership !== null && !(await ownership.hold())) {
      await this.pause(OWNER_LOOK_MS);
      return false;
    }
    const first = await this.source.next(true);
    if (first === null) return false;
    taken.push(first);
    // One job at a time, in whatever process.
    if (maxEvents === 1) return false;
    // About as many as there were the last time: each that is asked for in vain costs the queue as much as one that is there.
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
   * The same jobs are tried until they are done, and the lane waits, while what everybody needs is away: put at the end of the lane they would be
   * overtaken (promise 14). When nothing is away one of them is at fault, and each part is tried by itself (promise 20).
   * @returns false when they must be given back, because the process stops.
   */
  private async doAll(taken: readonly Taken[]): Promise<boolean> {
    const all = taken.map(({ job }) => job as unknown as J);
    const jobs = all.filter((job) => this.work.knows(job));
    for (const job of all) if (!this.work.knows(job)) await this.work.setAside(job, 'this version of the server does not know such a job');
    if (jobs.length === 0) return true;
    // A part that has failed by itself before need not fail three times more.
    const together = jobs.every(({ data }) => data.tries !== undefined) ? 1 : ATTEMPTS_TOGETHER;
    const isRepeated = taken.some(({ job }) => job.attemptsStarted > 1 || job.timestamp < this.startedAt);
    for (let attempt = 1; ; attempt++) {
      try {
        const failed = await this.work.handle(jobs, isRepeated || attempt > 1);
        if (failed.length === 0 || (await this.giveUpAll(failed))) {
          // At a second attempt it may only have been put off: the pauses go on growing.
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

  /** @returns false when it is not theirs alone: what everybody needs is away. */
  private async giveUpAll(failed: readonly Failed<J>[]): Promise<boolean> {
    for (const { error } of failed.slice(0, 1)) this.options.onRetry(this.source.name, asError(error), 1);
    if (await this.work.isAway()) return false;
    for (const { part, error } of failed) await this.giveUp(part, error);
    return true;
  }

  /** @returns false when something went away meanwhile, or the process stops: some parts are done, and all will be tried once more. */
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
    // What is lost is done by another process, too: twice has the effect of once.
    await Promise.all([this.source.renew(inHand), this.options.ownership?.renew()]).catch((error: unknown) =>
      this.options.onRetry(this.source.name, asError(error), 1),
    );
  }

  private async pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.stopping.signal }).catch(() => undefined);
  }
}

/** Jobs that carry something else than events count as one. */
function countOf(data: LaneJob['data']): number {
  return Math.max(1, data.events?.length ?? 1);
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

/** When the job was due (ms). Example: the wake of a mailbox that is added now for a time 10 s ahead does not lag by 10 s. */
const dueAt = ({ timestamp, opts }: Taken['job']): number => timestamp + (opts?.delay ?? 0);
