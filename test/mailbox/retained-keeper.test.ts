import type { Message } from '../../src/mqtt/message';
import { RestoredCopies, type RestoredCopy } from '../../src/mailbox/retained/restored-copies';
import { RetainedKeeper } from '../../src/mailbox/retained/retained-keeper';
import { message } from '../support/messages';

const publish = (id: string, text = 'x', fields: Partial<Message> = {}) => message({ topic: 't', id, retain: true, payload: Buffer.from(text), ...fields });

function subject(newest: { id: string; kept: boolean } | null, copy: RestoredCopy | null = null, refuse = false) {
  const calls: string[] = [];
  const keeper = new RetainedKeeper({
    store: {
      putRetained: async (messages) => {
        calls.push(`put ${messages.map(({ id, expiresAt }) => `${id}${expiresAt === null ? '' : ` until ${expiresAt}`}`).join()}`);
        return refuse ? messages.map(({ id }) => ({ id, reason: 'poison' })) : [];
      },
      deleteRetained: async (refs) => void calls.push(`delete ${refs.map(({ id }) => id).join()}`),
    },
    ids: { newest: async () => newest },
    copies: { of: async () => copy },
    lanes: { reconcile: async (topics) => void calls.push(`reconcile ${topics.join()}`) },
    setAside: async ({ id }, reason) => void calls.push(`aside ${id}: ${reason}`),
  });
  return { keeper, calls };
}

describe('the keeper of retained messages', () => {
  it('stores until the message itself expires; the ttl is not for retained ones (promise 12)', async () => {
    const { keeper, calls } = subject({ id: 'B', kept: true });
    await keeper.apply([publish('A', 'x', { expiresAt: 5 }), publish('B', 'x', { publishReceivedAt: 1_000, properties: { messageExpiryInterval: 2 } })]);
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
