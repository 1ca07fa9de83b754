/** Works on all items, `width` at a time. Rejects with the first failure, when what was under way is over. */
export async function inParallel<T>(width: number, items: readonly T[], work: (item: T) => Promise<void> | void): Promise<void> {
  for (let i = 0; i < items.length; i += width) {
    const results = await Promise.allSettled(items.slice(i, i + width).map(async (item) => work(item)));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }
}
