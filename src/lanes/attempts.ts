import { setTimeout as sleep } from 'node:timers/promises';
import { errorText, RetryableError } from '../base/errors';
import type { LaneJob } from './jobs';
import type { Taken } from './source';

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

export interface AttemptsOptions {
  /** Called for each attempt that failed. */
  readonly onRetry: (error: unknown, attempt: number) => void;
  /** When the process started (ms). A job that is older may be done in part already. */
  readonly startedAt: number;
  /** Aborts when the process stops. */
  readonly stopping: AbortSignal;
}

const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 5_000;
/** How often a batch is tried as a whole. An error may be transient even if its class does not say so. */
const ATTEMPTS_TOGETHER = 3;
/** How often one part is tried by itself although no service is away. The pauses add up to about five minutes. */
const ATTEMPTS_ALONE = 8;
const FIRST_POSTPONE_MS = 2_000;

/** Handles the jobs of a batch until each is done, postponed, or set aside. */
export class Attempts<J extends LaneJob> {
  /** How many attempts in a row have failed. The pauses grow with it. */
  private troubles = 0;

  constructor(
    private readonly work: LaneWork<J>,
    private readonly options: AttemptsOptions,
  ) {}

  /**
   * Tries the same jobs until they are done. While a service that all need is away the lane waits, because jobs that are put at the end of
   * the lane would be overtaken (promise 14). If no service is away, one of the jobs is at fault, and each part is tried by itself (promise
   * 20).
   * @returns false if the process stops and the jobs must be given back.
   */
  async doAll(taken: readonly Taken[]): Promise<boolean> {
    const all = taken.map(({ job }) => job as unknown as J);
    const jobs = all.filter((job) => this.work.knows(job));
    for (const job of all)
      if (!this.work.knows(job)) await this.work.setAside(job, 'this version of the server does not know this kind of job');
    if (jobs.length === 0) return true;
    // A part that has failed by itself before is tried only once here.
    const together = jobs.every(({ data }) => data.tries !== undefined) ? 1 : ATTEMPTS_TOGETHER;
    const isRepeated = taken.some(({ job }) => job.attemptsStarted > 1 || job.timestamp < this.options.startedAt);
    for (let attempt = 1; ; attempt++) {
      try {
        const failed = await this.work.handle(jobs, isRepeated || attempt > 1);
        if (failed.length === 0 || (await this.giveUpAll(failed))) {
          // After a second attempt the first error may only have been postponed, so the pauses keep growing.
          if (attempt === 1) this.troubles = 0;
          return true;
        }
      } catch (error) {
        this.options.onRetry(error, attempt);
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
    for (const { error } of failed.slice(0, 1)) this.options.onRetry(error, 1);
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
          this.options.onRetry(failure, 1);
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

  private get isStopping(): boolean {
    return this.options.stopping.aborted;
  }

  private async pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.options.stopping }).catch(() => undefined);
  }
}
