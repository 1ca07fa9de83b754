import { RestoreProgress } from '../../src/mailbox/retained/restore-progress';

test('a restore logs its progress at most every 5 s, and returns its total', () => {
  let now = 0;
  const told: object[] = [];
  const log = { info: (fields: object) => void told.push(fields) };
  const progress = new RestoreProgress(log as never, () => now);
  for (const filter of ['a/#', 'b']) progress.add(filter, 10);
  for (now = 1_000; now < 12_000; now += 1_000) progress.add('a/#', 1);
  expect(told).toEqual([
    { filter: 'a/#', published: 15 },
    { filter: 'a/#', published: 20 },
  ]);
  expect([progress.end('a/#'), progress.end('b'), progress.end('a/#')]).toEqual([21, 10, 0]);
});
