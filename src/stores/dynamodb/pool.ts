/** How many requests of one call run in parallel. */
const CONCURRENCY = 16;

/**
 * Runs the work for all items, some in parallel.
 * @returns the results in the order of `items`. The first error ends it.
 */
export async function pooled<T, R>(items: readonly T[], work: (item: T) => Promise<R>, concurrency = CONCURRENCY): Promise<R[]> {
  const results = new Array<R>(items.length);
  let next = 0;
  let failed = false;
  const worker = async (): Promise<void> => {
    for (let i = next++; i < items.length && !failed; i = next++) {
      try {
        results[i] = await work(items[i] as T);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  // Running works end before the error is thrown, so that nothing is written after the caller has got the error.
  const ends = await Promise.allSettled(Array.from({ length: Math.min(concurrency, items.length) }, worker));
  const failure = ends.find((end) => end.status === 'rejected');
  if (failure !== undefined) throw failure.reason;
  return results;
}
