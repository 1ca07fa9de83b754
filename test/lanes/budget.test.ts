import { OverloadedError } from '../../src/base/errors';
import { Budget } from '../../src/lanes/batcher';

test.each([
  ['items', { items: 2, bytes: 1e9 }, 1],
  ['bytes', { items: 1e9, bytes: 20 }, 10],
])('the budget rejects too many %s until some are given back', (_name, most, bytes) => {
  const budget = new Budget(most);
  budget.take(1, bytes);
  budget.take(1, bytes);
  expect(() => budget.take(1, bytes)).toThrow(OverloadedError);
  expect(budget.waiting).toEqual({ items: 2, bytes: 2 * bytes });
  budget.give(1, bytes);
  budget.take(1, bytes);
  expect(budget.waiting.items).toBe(2);
});

test('the budget accepts a single item of any size', () => {
  const budget = new Budget({ items: 10, bytes: 1 });
  budget.take(1, 1_000_000);
  expect(() => budget.take(1, 1)).toThrow(OverloadedError);
});

// The guard is that Budget.take looks at what is held already: an array of 10,000 events would never find room for all of them.
test('the budget accepts a request as a whole, even above the limit of items', () => {
  const budget = new Budget({ items: 8_192, bytes: 1e9 });
  budget.take(10, 10);
  budget.take(10_000, 1_000_000);
  expect(budget.waiting).toEqual({ items: 10_010, bytes: 1_000_010 });
  expect(() => budget.take(1, 1)).toThrow(OverloadedError);
  budget.give(10_000, 1_000_000);
  budget.take(1, 1);
});
