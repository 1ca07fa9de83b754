import { LateWrites } from '../../src/mailbox/positions/late-writes';
import { markOf } from '../../src/mailbox/positions/positions';
import { ANNOUNCED_MS } from '../../src/mailbox/times';
import type { Late } from '../../src/lanes/jobs';
import { MemoryStore } from '../support/memory-store';
import { message } from '../support/messages';
import { policy } from '../support/policies';

/** Two consumers, of which `past` has passed C, and `near` has announced that it will. */
async function subject(mark: string | null = 'C') {
  const store = new MemoryStore();
  const told: Late[] = [];
  const marks = new Map(mark === null ? [] : [[markOf('t'), mark]]);
  let now = 0;
  await store.putPositions([
    { consumer: 'past', topic: 't', id: 'C', receipts: [] },
    { consumer: 'near', topic: 't', id: '', receipts: ['>C@0'] },
    { consumer: 'new', topic: 't', id: '', receipts: ['C'] },
  ]);
  const lateWrites = new LateWrites({
    store,
    state: { get: async (key) => marks.get(key) ?? null },
    lanes: { late: async (late) => void told.push(...late) },
    policies: [policy({ filter: 'queue/#' }), policy({ mode: 'pubsub' })],
    now: () => now,
  });
  const write = (id: string, { takenOver = false, topic = 't', during = async (): Promise<void> => undefined } = {}) => {
    const own = [message({ topic, id })];
    return lateWrites.around(own, takenOver, async () => {
      await during();
      await store.saveMessages(own);
      return told.map(({ consumer }) => consumer);
    });
  };
  return { store, marks, told, write, wait: (ms: number) => (now += ms) };
}

/** Promise 17. */
describe('a late write', () => {
  it('is told, before it is stored, to those whose position has passed it or is about to', async () => {
    const { write } = await subject();
    expect(await write('B')).toEqual(['past', 'near']);
  });

  it('is none where nobody has passed it, and costs no read of positions', async () => {
    const { store, write } = await subject();
    store.positionsOfTopic = async () => Promise.reject(new Error('not to be read'));
    expect(await write('D')).toEqual([]);
    expect(await write('B', { topic: 'queue/1' })).toEqual([]);
  });

  it('is none when EMQX sent the event again', async () => {
    const { store, write } = await subject();
    await store.saveMessages([message({ topic: 't', id: 'B' })]);
    expect(await write('B')).toEqual([]);
  });

  it.each([
    ['was in hand when the process died', async (write: Awaited<ReturnType<typeof subject>>['write']) => write('B', { takenOver: true })],
    [
      'failed before, and may be done',
      async (write: Awaited<ReturnType<typeof subject>>['write']) => {
        await expect(write('B', { during: () => Promise.reject(new Error('away')) })).rejects.toThrow('away');
        return write('B');
      },
    ],
  ])('is told although it is stored when the write %s', async (_, again) => {
    const { store, write } = await subject();
    await store.saveMessages([message({ topic: 't', id: 'B' })]);
    expect(await again(write)).toContain('past');
  });

  it('is told afterwards when it took so long that somebody may have passed it meanwhile', async () => {
    const { marks, told, write, wait } = await subject(null);
    await write('B', {
      during: async () => {
        marks.set(markOf('t'), 'C');
        wait(ANNOUNCED_MS / 2 + 1);
      },
    });
    expect(told.map(({ consumer }) => consumer)).toEqual(['past', 'near']);
  });
});
