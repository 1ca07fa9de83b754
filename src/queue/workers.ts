import { setTimeout as sleep } from 'node:timers/promises';
import { WaitingError, type Job } from 'bullmq';
import { RetryableError } from '../errors';
import type { JobWorker, QueueBackend } from './backend';
import type { ClientJob, HistoryJob, MessageJob } from './jobs';
import { clientLane, historyLane, messageLane } from './names';

/**
 * Does a job's work. Throws RetryableError to have the same job tried again; may be called twice with one job after a crash.
 * `takenOver`: it was started before, by a process that died or stopped; part of it may be done. A client's job that is tried again after
 * an error, or was added before this process started, is told the same: its fences say nothing of what was accepted behind them.
 */
export interface Handlers {
  readonly messages: (job: MessageJob, takenOver: boolean) => Promise<void>;
  readonly clients: (job: ClientJob, takenOver: boolean) => Promise<void>;
  /** By the names of the sinks. */
  readonly histories: ReadonlyMap<string, (job: HistoryJob) => Promise<void>>;
  /** A job that fails for another reason than a transient one is set aside (promise 13); its lane goes on. */
  readonly setAside: (job: { name: string; data: unknown }) => Promise<void>;
  readonly onRetry: (lane: string, error: Error, attempt: number) => void;
}

const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 5_000;
/** An error that is not transient by its class may still be; a bug stays. */
const ATTEMPTS_BEFORE_SET_ASIDE = 3;

/** One worker for each lane. */
export class Workers {
  private readonly workers: JobWorker[] = [];
  private readonly stopping = new AbortController();
  /** By lane: how often a job failed since one was done at once. */
  private readonly troubles = new Map<string, number>();

  constructor(backend: QueueBackend, handlers: Handlers) {
    const add = (name: string, handle: (job: Job, again: boolean) => Promise<void>) => {
      this.workers.push(backend.worker(name, (job, token) => this.process(name, job, token, handle, handlers)));
    };
    // What earlier processes accepted is known from the lanes alone (accepted-acks.ts).
    const startedAt = Date.now();
    for (let lane = 0; lane < backend.laneCounts.messages; lane++) add(messageLane(lane), (job) => handlers.messages(job as unknown as MessageJob, job.attemptsStarted > 1));
    for (let lane = 0; lane < backend.laneCounts.clients; lane++) add(clientLane(lane), (job, again) => handlers.clients(job as unknown as ClientJob, again || job.attemptsStarted > 1 || job.timestamp < startedAt));
    for (const [sink, handle] of handlers.histories) add(historyLane(sink), (job) => handle(job as unknown as HistoryJob));
  }

  async ready(): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.waitUntilReady()));
  }

  /** `onFailure` hears of a worker that broke; it is not restarted. */
  start(onFailure: (error: unknown) => void): void {
    for (const worker of this.workers) worker.run().catch(onFailure);
  }

  /**
   * The same job is tried until it is done, and its lane waits: a job sent to the back of the queue would let later writes overtake
   * (promise 14). On shutdown it goes back to the front.
   */
  private async process(lane: string, job: Job, token: string, handle: (job: Job, again: boolean) => Promise<void>, handlers: Handlers): Promise<void> {
    let failures = 0;
    for (let attempt = 1; ; attempt++) {
      try {
        await (failures < ATTEMPTS_BEFORE_SET_ASIDE ? handle(job, attempt > 1) : handlers.setAside({ name: job.name, data: job.data }));
        // Done at a second attempt it may only have been put off: the pauses go on growing.
        if (attempt === 1) this.troubles.delete(lane);
        return;
      } catch (error) {
        // Whatever it is, it must not leave this loop: BullMQ would call the job failed and go on without it.
        if (!(error instanceof RetryableError)) failures++;
        handlers.onRetry(lane, error instanceof Error ? error : new Error(String(error)), attempt);
      }
      const troubles = this.troubles.get(lane) ?? 0;
      this.troubles.set(lane, troubles + 1);
      const delay = Math.min(FIRST_RETRY_MS * 2 ** troubles, LAST_RETRY_MS);
      await sleep(delay, undefined, { signal: this.stopping.signal }).catch(() => undefined);
      if (this.stopping.signal.aborted) {
        await job.moveToWait(token);
        throw new WaitingError();
      }
    }
  }

  async close(): Promise<void> {
    this.stopping.abort();
    await Promise.all(this.workers.map((worker) => worker.close()));
  }
}
