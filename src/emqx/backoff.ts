import { setTimeout as wait } from 'node:timers/promises';
import { RetryableError } from '../base/errors';
import { AuthError } from './api';

/** How a call is tried again. Time and chance come in as arguments for the tests. */
export interface Backoff {
  /** After the first attempt. */
  readonly retries: number;
  /** The longest pause before the first retry; it doubles with each one, up to MAX_PAUSE_MS. */
  readonly firstPauseMs: number;
  /** Rejects when the signal aborts. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  /** 0 to 1. */
  readonly random: () => number;
}

/** A few seconds in all: longer outages are the queue's business, which tries the same job again (promise 14). */
export const DEFAULT_BACKOFF: Backoff = {
  retries: 3,
  firstPauseMs: 200,
  sleep: (ms, signal) => wait(ms, undefined, { signal }),
  random: Math.random,
};

const MAX_PAUSE_MS = 5_000;

/** Half fixed, half chance: callers that failed together do not come back together. */
export function pauseMs(failures: number, { firstPauseMs, random }: Pick<Backoff, 'firstPauseMs' | 'random'>): number {
  const longest = Math.min(firstPauseMs * 2 ** (failures - 1), MAX_PAUSE_MS);
  return Math.round(longest * (0.5 + 0.5 * random()));
}

/** Tries again after a RetryableError, except a refused key, which no pause of seconds repairs, and what `isFinal`. */
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
