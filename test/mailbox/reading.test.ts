import { Positions } from '../../src/mailbox/positions/positions';
import { Reading } from '../../src/mailbox/positions/reading';
import type { Subscription } from '../../src/stores/store';
import { MemoryStore } from '../support/memory-store';
import { policy } from '../support/policies';

const DAY_MS = 24 * 3_600_000;

function subject(...filters: string[]) {
  const store = new MemoryStore();
  store.subscriptions.push(...filters.map((topic) => ({ clientid: 'c', topic, qos: 1 as const })));
  const kept: Subscription[] = [];
  let now = 1_800_000_000_000;
  const deps = {
    store: Object.assign(store, { putSubscriptions: async (each: readonly Subscription[]) => void kept.push(...each) }),
    state: { get: async () => null, raise: async () => undefined },
    lanes: { progress: async () => undefined, forget: async () => undefined },
    acks: { settled: async () => undefined },
    policies: [policy({ mode: 'pubsub' })],
    now: () => now,
  };
  const reading = new Reading({ ...deps, positions: new Positions(deps) });
  const acknowledge = async (id: string) => reading.handle({ name: 'progress', data: { acks: [{ clientid: 'c', id, topic: 't/1', ours: false }] } });
  return { kept, acknowledge, pass: (ms: number) => void (now += ms) };
}

// The guard is Reading.keep: its subscriptions were deleted after two weeks, and the group got again what it had acknowledged.
test('the subscriptions of a group\'s member that acknowledges are noted as seen, once a day', async () => {
  const { kept, acknowledge, pass } = subject('$share/g/t/+', 't/own');
  await acknowledge('A');
  await acknowledge('B');
  expect(kept.map(({ topic, seenAt }) => [topic, seenAt])).toEqual([['$share/g/t/+', 1_800_000_000_000], ['t/own', 1_800_000_000_000]]);
  pass(DAY_MS);
  await acknowledge('C');
  expect(kept).toHaveLength(4);
});

test('those of a client in no group are not: nothing depends on them', async () => {
  const { kept, acknowledge } = subject('t/+');
  await acknowledge('A');
  expect(kept).toEqual([]);
});
