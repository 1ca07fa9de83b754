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

/** A job that this process is handling. */
export interface Taken {
  readonly job: Job;
  readonly token: string;
}

/**
 * Takes the jobs of one lane one by one, through a BullMQ worker without a processor. Every method rejects while the
 * queue's database is away.
 */
export class JobSource {
  private taken = 0;

  constructor(private readonly worker: TakingWorker) {}

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
    const job = await this.worker.getNextJob(token, { block: waits });
    return job === undefined ? null : { job, token };
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
    await this.worker.pause(true);
    await this.worker.getBackend().disconnectBlocking();
  }

  close(): Promise<void> {
    return this.worker.close();
  }
}
