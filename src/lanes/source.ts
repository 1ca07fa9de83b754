import type { IQueueBackend, Job, Worker } from 'bullmq';

/** What is used of a worker, whichever database it is on. */
type TakingWorker = Pick<
  Worker,
  'id' | 'name' | 'waitUntilReady' | 'startStalledCheckTimer' | 'getNextJob' | 'extendJobLocks' | 'pause' | 'close'
> & {
  getBackend(): Pick<IQueueBackend, 'disconnectBlocking'>;
};

/** How long a job belongs to its process without a renewal, and how often other processes look for jobs whose time is over. */
const LOCK_MS = 10_000;
const STALLED_CHECK_MS = 2_000;

/**
 * A job whose process died is taken over after LOCK_MS at the latest plus one STALLED_CHECK_MS; it is never given up (`maxStalledCount`), because
 * what was accepted is durable (promise 1).
 */
export const WORKER_OPTIONS = {
  autorun: false,
  concurrency: 1,
  // How long one wait for a job lasts (s): PostgreSQL's notification of a job is lost when it comes right before the wait.
  drainDelay: 1,
  lockDuration: LOCK_MS,
  stalledInterval: STALLED_CHECK_MS,
  maxStalledCount: 2_147_483_647,
  removeOnComplete: { count: 0 },
} as const;

/** A job that this process works on. */
export interface Taken {
  readonly job: Job;
  readonly token: string;
}

/** The jobs of one lane, taken by hand: a BullMQ worker without a processor. Every method rejects while the queue's database is away. */
export class JobSource {
  private taken = 0;

  constructor(private readonly worker: TakingWorker) {}

  get name(): string {
    return this.worker.name;
  }

  /** From now on the jobs of processes that died come back into the lane. */
  async open(): Promise<void> {
    await this.worker.waitUntilReady();
    await this.worker.startStalledCheckTimer();
  }

  /** @param waits whether to wait for one, some seconds at most. @returns null when there is none. */
  async next(waits: boolean): Promise<Taken | null> {
    const token = `${this.worker.id}:${this.taken++}`;
    const job = await this.worker.getNextJob(token, { block: waits });
    return job === undefined ? null : { job, token };
  }

  async complete(taken: readonly Taken[]): Promise<void> {
    await Promise.all(taken.map(({ job, token }) => job.moveToCompleted(null, token, false)));
  }

  /** The jobs are the next of their lane. */
  async giveBack(taken: readonly Taken[]): Promise<void> {
    // Each goes in front of those that were given back before it.
    for (const { job, token } of [...taken].reverse()) await job.moveToWait(token);
  }

  /** Keeps the jobs for this process; must be called more often than LOCK_MS. @returns the ids of those that are lost: another process may work on them. */
  async renew(taken: readonly Taken[]): Promise<string[]> {
    return this.worker.extendJobLocks(
      taken.map(({ job }) => job.id ?? ''),
      taken.map(({ token }) => token),
      LOCK_MS,
    );
  }

  /** No more jobs: a `next` that waits gives up. Jobs in hand can still be completed or given back. */
  async stopTaking(): Promise<void> {
    await this.worker.pause(true);
    await this.worker.getBackend().disconnectBlocking();
  }

  close(): Promise<void> {
    return this.worker.close();
  }
}
