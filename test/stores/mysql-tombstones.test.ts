import { rangesOf } from '../../src/stores/mysql/tombstones';

/** The id of a message that was published so many ms after midnight. */
const at = (ms: number): string => (ms * 1_000).toString(16).toUpperCase().padStart(16, '0').padEnd(32, '0');
const every = (step: number, count: number, from = 0): string[] => Array.from({ length: count }, (_, i) => at(from + i * step));

describe('the ranges in which MySQL looks for the tombstones of a batch', () => {
  it('begin and end with an id of the batch, and a pause separates them', () => {
    const ids = [...every(1, 20, 5_000), ...every(1, 20)];
    expect(rangesOf(ids)).toEqual([
      [at(0), at(19)],
      [at(5_000), at(5_019)],
    ]);
    expect(rangesOf([at(900), ...every(2, 40)])).toEqual([
      [at(0), at(78)],
      [at(900), at(900)],
    ]);
  });

  it.each<[string, string[]]>([
    ['a few ids', every(1, 31)],
    ['ids without a time', [...every(1, 40), 'abc']],
    ['a batch that lasts long, because many tombstones may lie between', every(6, 40)],
    ['ids of many times', every(100, 40)],
  ])('are none for %s', (_, ids) => {
    expect(rangesOf(ids)).toBeNull();
  });
});
