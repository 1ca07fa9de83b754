import { setTimeout as sleep } from 'node:timers/promises';
import { Attempts, type LaneWork } from './attempts';
import type { LaneJob } from './jobs';
import type { Ownership } from './ownership';
import type { JobSource, Taken } from './source';

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
  private readonly attempts: Attempts<J>;
  /** The batches that are being handled: one, or two when the lane is behind. */
  private readonly inHand = new Set<readonly Taken[]>();
  /** When the work on each of these batches began (ms). */
  private readonly begun = new Set<{ readonly at: number }>();
  /** The number of jobs in the last batch. */
  private tookBefore = 1;
  private running: Promise<void> = Promise.resolve();
  private renewal: NodeJS.Timeout | null = null;

  constructor(
    private readonly source: JobSource,
    work: LaneWork<J>,
    private readonly options: ConsumerOptions,
  ) {
    const onRetry = (error: unknown, attempt: number) => options.onRetry(source.name, asError(error), attempt);
    this.attempts = new Attempts(work, { onRetry, startedAt: Date.now(), stopping: this.stopping.signal });
  }

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

  /**
   * When the work on the oldest batch in hand began (ms); null when there is none. A batch stays in hand while
   * something that it needs is away.
   */
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
        const isDone = await this.attempts.doAll(taken);
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
      const answers = await Promise.allSettled(Array.from({ length: wanted }, () => this.source.next(false)));
      const more = answers.flatMap((answer) => (answer.status === 'fulfilled' && answer.value !== null ? [answer.value] : []));
      for (const each of more) {
        taken.push(each);
        count(each);
      }
      // Several connections to the queue may answer in any order.
      taken.sort((a, b) => Number(a.job.id) - Number(b.job.id));
      // The jobs that did come are handled now. Otherwise they would stay locked, and come after younger ones.
      for (const answer of answers) if (answer.status === 'rejected') throw answer.reason;
      if (more.length < wanted) break;
    }
    this.tookBefore = taken.length;
    return events >= maxEvents || bytes >= maxBytes;
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
