import { Batcher, Budget } from '../../src/lanes/batcher';
import { within } from '../../src/base/deadline';

describe('a batcher', () => {
  const flushes: number[][] = [];
  const budget = new Budget({ items: 1_000, bytes: 1_000 });
  const batcher = (flush: (items: number[]) => Promise<void> = async () => undefined) =>
    new Batcher<number>({
      ...{ maxItems: 4, maxBytes: 100, budget, patienceMs: 60_000, late: () => new Error('late') },
      flush: (items) => {
        flushes.push(items);
        // A batcher that flushes nothing for ever must not keep the test's own timer from firing.
        return flushes.length > 100 ? new Promise(() => undefined) : flush(items);
      },
    });
  const all = (works: Promise<void>[]) => within(5_000, Promise.all(works), () => new Error('a request was not answered'));
  beforeEach(() => void flushes.splice(0));
  afterEach(() => expect(budget.waiting).toEqual({ items: 0, bytes: 0 }));

  // The guard is `entries > 0` in Batcher.cut(). Without it such a request, and all that come after it, would wait for ever.
  it('flushes a request that is larger than a flush by itself', async () => {
    const { add } = bound(batcher());
    await all([add([1], 1), add([2, 3, 4, 5, 6], 1), add([7], 1), add([8], 101), add([9], 1)]);
    expect(flushes).toEqual([[1], [2, 3, 4, 5, 6], [7], [8], [9]]);
  });

  it('rejects only the requests of a flush that fails, and gives their room back', async () => {
    const { add } = bound(batcher((items) => (items.includes(1) ? Promise.reject(new Error('away')) : Promise.resolve())));
    const outcomes = await Promise.allSettled([add([1, 2], 1), add([3, 4], 1), add([5], 1)]);
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled']);
    expect(flushes).toEqual([[1, 2, 3, 4], [5]]);
  });
});

const bound = (batcher: Batcher<number>) => ({ add: (items: number[], bytes: number) => batcher.add(items, bytes) });
