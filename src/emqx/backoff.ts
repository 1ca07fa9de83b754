import { setTimeout as wait } from 'node:timers/promises';
import { RetryableError } from '../base/errors';
import { AuthError } from './api';

/** How a call is retried. Tests pass their own time and random numbers. */
export interface Backoff {
  /** Retries after the first attempt. */
  readonly retries: number;
  /** The longest pause before the first retry (ms). It doubles with each retry, up to MAX_PAUSE_MS. */
  readonly firstPauseMs: number;
  /** Rejects when the signal aborts. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Returns a number from 0 to 1. */
  readonly random: () => number;
}

/** A few seconds in total. The queue handles longer outages by trying the same job again (promise 14). */
export const DEFAULT_BACKOFF: Backoff = {
  retries: 3,
  firstPauseMs: 200,
  sleep: (ms, signal) => wait(ms, undefined, { signal }),
  random: Math.random,
};

const MAX_PAUSE_MS = 5_000;

/** Half of the pause is fixed and half is random, so that callers that failed together don't retry together. */
export function pauseMs(failures: number, { firstPauseMs, random }: Pick<Backoff, 'firstPauseMs' | 'random'>): number {
  const longest = Math.min(firstPauseMs * 2 ** (failures - 1), MAX_PAUSE_MS);
  return Math.round(longest * (0.5 + 0.5 * random()));
}

/**
 * Retries after a RetryableError, except after a rejected key, which a pause of seconds does not repair, and after
 * errors for which `isFinal` is true.
 */
export async function withRetries<T>(backoff: Backoff, signal: AbortSignal, attempt: () => Promise<T>, isFinal = isRefusedKey): Promise<T> {
  for (let failures = 1; ; failures++) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof RetryableError) || isRefusedKey(error) || isFinal(error) || failures > backoff.retries) throw error;
    }
    try {
      await backoff.sleep(pauseMs(failures, backoff), signal);
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    }
  }
}

function isRefusedKey(error: unknown): boolean {
  return error instanceof AuthError;
}
