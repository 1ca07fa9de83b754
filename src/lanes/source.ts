import type { IQueueBackend, Job, Worker } from 'bullmq';

/** The methods of a BullMQ worker that are used, whichever database it is on. */
type TakingWorker = Pick<
  Worker,
  'id' | 'name' | 'waitUntilReady' | 'startStalledCheckTimer' | 'getNextJob' | 'extendJobLocks' | 'pause' | 'close'
> & {
  getBackend(): Pick<IQueueBackend, 'disconnectBlocking'>;
};

/**
 * How long a job belongs to its process without a renewal (ms), and how often other processes look for jobs whose lock
 * has expired (ms).
 */
const LOCK_MS = 10_000;
const STALLED_CHECK_MS = 2_000;

/**
 * A job whose process died is taken over after at most LOCK_MS plus STALLED_CHECK_MS. It is taken over any number of
 * times (`maxStalledCount`), because an accepted event is never given up (promise 1).
 */
export const WORKER_OPTIONS = {
  autorun: false,
  concurrency: 1,
  // How long one wait for a job lasts (s). It is short, because PostgreSQL's notification of a job is lost if it comes
  // just before the wait.
  drainDelay: 1,
  lockDuration: LOCK_MS,
  stalledInterval: STALLED_CHECK_MS,
  maxStalledCount: 2_147_483_647,
  removeOnComplete: { count: 0 },
} as const;

/** The longest time that a wait for a job may last before its worker is replaced (ms). */
const MOST_PATIENCE_MS = 60_000;
/** How long a stop waits for BullMQ to end its wait for a job, to close its connection, and to close its worker (ms). */
const STOP_MS = 2_000;

/** A job that this process is handling. */
export interface Taken {
  readonly job: Job;
  readonly token: string;
}

export interface JobSourceOptions {
  /**
   * A wait for a job that lasts this long (ms) never ends; absent where all waits end. On a Redis Cluster whose node
   * dies, ioredis may lose a blocking command, and BullMQ's watchdog may wait for ever for the new connection.
   */
  readonly stuckMs?: number;
}

/**
 * Takes the jobs of one lane one by one, through a BullMQ worker without a processor. Every method rejects while the
 * queue's database is away.
 */
export class JobSource {
  private taken = 0;
  private worker: TakingWorker;
  /** Workers whose wait did not end. Another worker has taken their place. */
  private readonly retired: TakingWorker[] = [];
  private patienceMs: number;
  private stop: () => void = () => undefined;
  private readonly stopped = new Promise<null>((resolve) => (this.stop = () => resolve(null)));

  constructor(
    private readonly makeWorker: () => TakingWorker,
    private readonly options: JobSourceOptions = {},
  ) {
    this.worker = makeWorker();
    this.patienceMs = options.stuckMs ?? Infinity;
  }

  get name(): string {
    return this.worker.name;
  }

  /** Starts to return the jobs of dead processes to the lane. */
  async open(): Promise<void> {
    await this.worker.waitUntilReady();
    await this.worker.startStalledCheckTimer();
  }

  /**
   * @param waits whether to wait for a job, for some seconds at most.
   * @returns null if there is none.
   */
  async next(waits: boolean): Promise<Taken | null> {
    const token = `${this.worker.id}:${this.taken++}`;
    const asked = this.worker.getNextJob(token, { block: waits });
    if (!waits) return takenOf(await asked, token);
    const first = await atMost(this.patienceMs, Promise.race([asked.then((job) => ({ job })), this.stopped]));
    if (first !== null && first !== 'over') {
      this.patienceMs = this.options.stuckMs ?? Infinity;
      return takenOf(first.job, token);
    }
    // A job that comes after all goes back to its lane. If that fails, its lock expires.
    asked.then((job) => job?.moveToWait(token)).catch(() => undefined);
    if (first === 'over') this.replace();
    return null;
  }

  /** During an outage the new worker gets no job either, so it may wait longer before it is replaced. */
  private replace(): void {
    this.retired.push(this.worker);
    this.worker = this.makeWorker();
    this.patienceMs = Math.min(2 * this.patienceMs, MOST_PATIENCE_MS);
  }

  async complete(taken: readonly Taken[]): Promise<void> {
    await Promise.all(taken.map(({ job, token }) => job.moveToCompleted(null, token, false)));
  }

  /** Puts the jobs back as the next ones of their lane. */
  async giveBack(taken: readonly Taken[]): Promise<void> {
    // Each job goes before those that were given back before it, so the last one is given back first.
    for (const { job, token } of [...taken].reverse()) await job.moveToWait(token);
  }

  /**
   * Keeps the jobs for this process. Must be called more often than LOCK_MS.
   * @returns the ids of jobs that are lost: another process may be handling them.
   */
  async renew(taken: readonly Taken[]): Promise<string[]> {
    return this.worker.extendJobLocks(
      taken.map(({ job }) => job.id ?? ''),
      taken.map(({ token }) => token),
      LOCK_MS,
    );
  }

  /** Takes no more jobs; a waiting `next` returns null. Jobs in hand can still be completed or given back. */
  async stopTaking(): Promise<void> {
    setTimeout(this.stop, STOP_MS).unref();
    const ending = this.worker.pause(true).then(() => this.worker.getBackend().disconnectBlocking());
    await atMost(STOP_MS, ending);
  }

  /** A worker that cannot close, because its connection is lost, is left alone: the process ends. */
  async close(): Promise<void> {
    await atMost(STOP_MS, Promise.all([this.worker, ...this.retired].map((worker) => worker.close())));
  }
}

const takenOf = (job: Job | undefined, token: string): Taken | null => (job === undefined ? null : { job, token });

/** What the work gives, or 'over' if it takes longer than `ms` (Infinity: no limit). The work itself goes on. */
async function atMost<T>(ms: number, work: Promise<T>): Promise<T | 'over'> {
  if (ms === Infinity) return work;
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<'over'>((resolve) => (timer = setTimeout(() => resolve('over'), ms)));
  return Promise.race([work, over]).finally(() => clearTimeout(timer));
}
