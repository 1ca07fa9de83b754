/**
 * An answer is kept for at least this many times as long as it took. Example: an answer that took 2 s is kept for 40 s.
 */
const SHARE = 20;

export interface CachedOptions<T> {
  /** How long an answer is kept at least (ms). */
  readonly ageMs: number;
  readonly now: () => number;
  /** Whether this answer is kept; by default all are. */
  readonly isKept?: (answer: T) => boolean;
}

/**
 * Wraps `ask` so that it runs at most once at a time, and its answer is kept for a while. Scrapes of several Prometheus
 * servers then cost the store no more than those of one. A failure is not kept.
 */
export function cached<T>(ask: () => Promise<T>, { ageMs, now, isKept = () => true }: CachedOptions<T>): () => Promise<T> {
  let last: { readonly value: T; readonly until: number } | null = null;
  let asking: Promise<T> | null = null;
  const renew = async (): Promise<T> => {
    const from = now();
    const value = await ask();
    last = !isKept(value) ? null : { value, until: now() + Math.max(ageMs, SHARE * (now() - from)) };
    return value;
  };
  return () => {
    if (last !== null && now() < last.until) return Promise.resolve(last.value);
    asking ??= renew().finally(() => (asking = null));
    return asking;
  };
}
