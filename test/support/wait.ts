import { setTimeout as sleep } from 'node:timers/promises';

/**
 * The result of the work, which fails if it takes so long. The limit is a timer of the same event loop, as the timeouts
 * of the work are: a busy machine delays them all.
 */
export async function inTime<T>(what: string, limitMs: number, work: Promise<T>): Promise<T> {
  const ended = new AbortController();
  const late = sleep(limitMs, undefined, { signal: ended.signal }).then(() => {
    throw new Error(`${what} took longer than ${limitMs} ms`);
  });
  return Promise.race([work, late]).finally(() => ended.abort());
}

/** Waits until the condition gives something other than false, null or undefined; says what it waited for when it takes too long. */
export async function waitFor<T>(what: string, condition: () => T | Promise<T>, timeoutMs = 30_000): Promise<NonNullable<T>> {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const result = await condition();
    if (result !== false && result !== null && result !== undefined) return result as NonNullable<T>;
    if (Date.now() > end) throw new Error(`waited ${timeoutMs} ms for ${what}`);
    await sleep(10);
  }
}
