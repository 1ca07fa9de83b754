import { OverloadedError } from '../../src/base/errors';
import { Budget } from '../../src/lanes/batcher';

test.each([
  ['items', { items: 2, bytes: 1e9 }, 1],
  ['bytes', { items: 1e9, bytes: 20 }, 10],
])('too many %s are refused until some are gone', (_name, most, bytes) => {
  const budget = new Budget(most);
  budget.take(1, bytes);
  budget.take(1, bytes);
  expect(() => budget.take(1, bytes)).toThrow(OverloadedError);
  expect(budget.waiting).toEqual({ items: 2, bytes: 2 * bytes });
  budget.give(1, bytes);
  budget.take(1, bytes);
  expect(budget.waiting.items).toBe(2);
});

test('one item is let in however large', () => {
  const budget = new Budget({ items: 10, bytes: 1 });
  budget.take(1, 1_000_000);
  expect(() => budget.take(1, 1)).toThrow(OverloadedError);
});

// The guard is that Budget.take looks at what is held already: an array of 10,000 events would never find room for all of them.
test('a request is let in as a whole or not at all, also one of more items than the limit', () => {
  const budget = new Budget({ items: 8_192, bytes: 1e9 });
  budget.take(10, 10);
  budget.take(10_000, 1_000_000);
  expect(budget.waiting).toEqual({ items: 10_010, bytes: 1_000_010 });
  expect(() => budget.take(1, 1)).toThrow(OverloadedError);
  budget.give(10_000, 1_000_000);
  budget.take(1, 1);
});
