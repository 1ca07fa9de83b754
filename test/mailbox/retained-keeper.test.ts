import type { Message } from '../../src/mqtt/message';
import { RestoredCopies, type RestoredCopy } from '../../src/mailbox/retained/restored-copies';
import { RetainedIds, type NewestRetained } from '../../src/mailbox/retained/retained-ids';
import { RetainedKeeper } from '../../src/mailbox/retained/retained-keeper';
import { message } from '../support/messages';

const publish = (id: string, text = 'x', fields: Partial<Message> = {}) =>
  message({ topic: 't', id, retain: true, payload: Buffer.from(text), ...fields });

function subject(newest: Pick<NewestRetained, 'id' | 'kept'> | null, copy: RestoredCopy | null = null, refuse = false) {
  const calls: string[] = [];
  const keeper = new RetainedKeeper({
    store: {
      putRetained: async (messages) => {
        calls.push(`put ${messages.map(({ id, expiresAt }) => `${id}${expiresAt === null ? '' : ` until ${expiresAt}`}`).join()}`);
        return refuse ? messages.map(({ id }) => ({ id, reason: 'poison' })) : [];
      },
      deleteRetained: async (refs) => void calls.push(`delete ${refs.map(({ id }) => id).join()}`),
    },
    ids: { newest: async () => (newest === null ? null : { ...newest, publishReceivedAt: 0 }) },
    copies: { of: async () => copy },
    lanes: { reconcile: async (topics) => void calls.push(`reconcile ${topics.join()}`) },
    setAside: async ({ id }, reason) => void calls.push(`aside ${id}: ${reason}`),
  });
  return { keeper, calls };
}

describe('the keeper of retained messages', () => {
  it("stores a message until its own expiry, without the policy's ttl (promise 12)", async () => {
    const { keeper, calls } = subject({ id: 'B', kept: true });
    await keeper.apply([
      publish('A', 'x', { expiresAt: 5 }),
      publish('B', 'x', { publishReceivedAt: 1_000, properties: { messageExpiryInterval: 2 } }),
    ]);
    expect(calls).toEqual(['put A,B until 3000']);
  });

  it('deletes a message even when the newest publish is unknown', async () => {
    const { keeper, calls } = subject(null);
    await keeper.apply([publish('A', '')]);
    expect(calls).toEqual(['delete A']);
  });

  // The guard is `known` in RetainedKeeper.cleared.
  it('deletes a message whose deletion arrived before it', async () => {
    const { keeper, calls } = subject({ id: 'B', kept: false });
    await keeper.apply([publish('A')]);
    expect(calls).toEqual(['put A', 'delete B']);
  });

  it('sets a message aside that the store rejects (promise 13)', async () => {
    const { keeper, calls } = subject(null, null, true);
    await keeper.apply([publish('A')]);
    expect(calls).toEqual(['put A', 'aside A: the store refused it as a retained message: poison']);
  });

  it.each<[string, RestoredCopy, string, boolean]>([
    ['EMQX had it before the restored copy', { copyId: 'M', id: 'A' }, 'B', true],
    ['the restored copy is on its way', { copyId: null, id: 'A' }, 'B', true],
    ['EMQX had it after the restored copy', { copyId: 'M', id: 'A' }, 'N', false],
    ['it is the restored message itself', { copyId: 'M', id: 'A' }, 'A', false],
  ])('requests a check against the restored copy: %s', async (_, copy, id, asked) => {
    const { keeper, calls } = subject({ id, kept: true }, copy);
    await keeper.apply([publish(id)]);
    expect(calls).toEqual([`put ${id}`, ...(asked ? ['reconcile t'] : [])]);
  });

  it('does nothing for an empty list', async () => {
    const { keeper, calls } = subject(null);
    await keeper.apply([]);
    expect(calls).toEqual([]);
  });
});

test('restored copies are remembered by topic', async () => {
  const values = new Map<string, string>();
  const copies = new RestoredCopies({
    get: async (key) => values.get(key) ?? null,
    set: async (key, value) => void values.set(key, value),
    delete: async (key) => void values.delete(key),
  });
  await copies.note('t', { copyId: null, id: 'A' });
  expect(await copies.of('t')).toEqual({ copyId: null, id: 'A' });
  expect(await copies.of('T')).toBeNull();
  await copies.forget('t');
  expect(await copies.of('t')).toBeNull();
});

describe('the newest retained publish of a topic', () => {
  const known = () => {
    const values = new Map<string, string>();
    const raise = async (entries: readonly { key: string; value: string }[]) => {
      for (const { key, value } of entries) if (value > (values.get(key) ?? '')) values.set(key, value);
    };
    return { values, raise, ids: new RetainedIds({ raise, get: async (key) => values.get(key) ?? null }) };
  };
  const [WILL, BIRTH] = ['00065A0000000000F49A0000049C0001', '00065A000000C350F49A0000049C0002'];

  // The guard is the time in front of the id (RetainedIds.note): a last will has the id of its client's CONNECT.
  it("is the last will, not the client's earlier publish, in any order", async () => {
    const [birth, will] = [
      publish(BIRTH, 'online', { publishReceivedAt: 1_000_000_000_000 }),
      publish(WILL, 'offline', { publishReceivedAt: 1_000_000_600_000 }),
    ];
    for (const order of [
      [birth, will],
      [will, birth],
    ]) {
      const { ids } = known();
      for (const each of order) await ids.note([each]);
      expect(await ids.newest('t')).toEqual({ id: WILL, publishReceivedAt: 1_000_000_600_000, kept: true });
      await ids.note([publish(BIRTH, '', { publishReceivedAt: 1_000_000_600_001 })]);
      expect(await ids.newest('t')).toEqual({ id: BIRTH, publishReceivedAt: 1_000_000_600_001, kept: false });
      expect(await ids.idOf('t')).toBeNull();
    }
  });

  it("is read from an earlier version's value, and replaced by a newer publish", async () => {
    const { ids, raise, values } = known();
    await ids.note([publish(BIRTH)]);
    const [key = ''] = values.keys();
    values.clear();
    await raise([{ key, value: `${BIRTH}+` }]);
    expect(await ids.newest('t')).toMatchObject({ id: BIRTH, kept: true });
    await ids.note([publish(WILL, '')]);
    expect(await ids.newest('t')).toMatchObject({ id: WILL, kept: false });
  });
});
