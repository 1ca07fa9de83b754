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
  it('stores until the message itself expires; the ttl is not for retained ones (promise 12)', async () => {
    const { keeper, calls } = subject({ id: 'B', kept: true });
    await keeper.apply([
      publish('A', 'x', { expiresAt: 5 }),
      publish('B', 'x', { publishReceivedAt: 1_000, properties: { messageExpiryInterval: 2 } }),
    ]);
    expect(calls).toEqual(['put A,B until 3000']);
  });

  it('deletes, also when nothing is known of the deletion any more', async () => {
    const { keeper, calls } = subject(null);
    await keeper.apply([publish('A', '')]);
    expect(calls).toEqual(['delete A']);
  });

  // The guard is `known` in RetainedKeeper.cleared.
  it('takes out what a deletion that came first had deleted', async () => {
    const { keeper, calls } = subject({ id: 'B', kept: false });
    await keeper.apply([publish('A')]);
    expect(calls).toEqual(['put A', 'delete B']);
  });

  it('sets aside what the store refuses (promise 13)', async () => {
    const { keeper, calls } = subject(null, null, true);
    await keeper.apply([publish('A')]);
    expect(calls).toEqual(['put A', 'aside A: the store refused it as a retained message: poison']);
  });

  it.each<[string, RestoredCopy, string, boolean]>([
    ['EMQX had it before our copy', { copyId: 'M', id: 'A' }, 'B', true],
    ['our copy is on its way', { copyId: null, id: 'A' }, 'B', true],
    ['EMQX had it after our copy', { copyId: 'M', id: 'A' }, 'N', false],
    ['it is what was restored, and comes again', { copyId: 'M', id: 'A' }, 'A', false],
  ])('asks for a second look after its writes: %s', async (_, copy, id, asked) => {
    const { keeper, calls } = subject({ id, kept: true }, copy);
    await keeper.apply([publish(id)]);
    expect(calls).toEqual([`put ${id}`, ...(asked ? ['reconcile t'] : [])]);
  });

  it('does nothing for nothing', async () => {
    const { keeper, calls } = subject(null);
    await keeper.apply([]);
    expect(calls).toEqual([]);
  });
});

test('copies are remembered by topic', async () => {
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

describe('what is known of the newest retained publish', () => {
  const known = () => {
    const values = new Map<string, string>();
    const raise = async (entries: readonly { key: string; value: string }[]) => {
      for (const { key, value } of entries) if (value > (values.get(key) ?? '')) values.set(key, value);
    };
    return { values, raise, ids: new RetainedIds({ raise, get: async (key) => values.get(key) ?? null }) };
  };
  const [WILL, BIRTH] = ['00065A0000000000F49A0000049C0001', '00065A000000C350F49A0000049C0002'];

  // The guard is the time in front of the id (RetainedIds.note): a last will has the id of its client's CONNECT.
  it('is the last will, not what its client published after the CONNECT, in whatever order they come', async () => {
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

  it('is read as an earlier version wrote it, and replaced by what comes now', async () => {
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
