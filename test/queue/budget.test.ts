import { OverloadedError } from '../../src/errors';
import { Budget } from '../../src/queue/batcher';

test.each([
  ['items', { items: 2, bytes: 1e9 }, 1],
  ['bytes', { items: 1e9, bytes: 20 }, 10],
])('too many %s are refused until some are gone', (_name, most, bytes) => {
  const budget = new Budget(most);
  budget.take(bytes);
  budget.take(bytes);
  expect(() => budget.take(bytes)).toThrow(OverloadedError);
  expect(budget.waiting).toEqual({ items: 2, bytes: 2 * bytes });
  budget.give(bytes);
  budget.take(bytes);
  expect(budget.waiting.items).toBe(2);
});

test('one item is let in however large', () => {
  const budget = new Budget({ items: 10, bytes: 1 });
  budget.take(1_000_000);
  expect(() => budget.take(1)).toThrow(OverloadedError);
});
