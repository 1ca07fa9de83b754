/** An answer takes at most this share of the time: one that needs 2 s is asked for every 40 s at most. */
const SHARE = 20;

export interface CachedOptions {
  /** An answer that is younger is given again. */
  readonly ageMs: number;
  readonly now: () => number;
}

/**
 * Asks at most once at a time, and not again before the last answer is `ageMs` old, or SHARE times as old as it took to come: scrapes of
 * several Prometheus servers must not cost the store more than those of one. A failure is not kept.
 */
export function cached<T>(ask: () => Promise<T>, { ageMs, now }: CachedOptions): () => Promise<T> {
  let last: { readonly value: T; readonly until: number } | null = null;
  let asking: Promise<T> | null = null;
  const renew = async (): Promise<T> => {
    const from = now();
    const value = await ask();
    last = { value, until: now() + Math.max(ageMs, SHARE * (now() - from)) };
    return value;
  };
  return () => {
    if (last !== null && now() < last.until) return Promise.resolve(last.value);
    asking ??= renew().finally(() => (asking = null));
    return asking;
  };
}
