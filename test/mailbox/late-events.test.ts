import { clientKey } from '../../src/mqtt/consumer';
import type { Message } from '../../src/mqtt/message';
import { floorOf } from '../../src/mailbox/positions/id-list';
import { RetainedIds } from '../../src/mailbox/retained/retained-ids';
import { MSGID_PROPERTY } from '../../src/mailbox/signature';
import { GRACE_MS } from '../../src/mailbox/times';
import { message } from '../support/messages';
import { acked, deliver, PassWorld } from './pass-world';

/** Each text is `{publisher}{number}`; the numbers are the order of publishing. Long before any subscription. */
function published(texts: readonly string[], fields: Partial<Message> = {}): Message[] {
  return texts.map((text) => message({ topic: 't', id: `m${text.slice(1)}`, clientid: text.slice(0, 1), publishReceivedAt: 1, ...fields }));
}

const store = (world: PassWorld, texts: readonly string[], fields: Partial<Message> = {}) =>
  world.store.saveMessages(published(texts, fields));
const ids = (world: PassWorld) => world.published.map((text) => text.split(' ')[1]);

async function acknowledge(world: PassWorld, ...all: string[]): Promise<void> {
  await world.store.removeMessages(all.map((id) => ({ topic: 't', id })));
  world.now += 20;
  expect(await world.handle(all.map((id) => acked('c', id)))).toEqual([]);
}

/**
 * The events of publisher a reach the server later than the client's subscription, while the run stands in the middle
 * of the topic. Events of one publisher arrive in their order.
 */
describe('messages that are stored behind the place that a run has come to (promise 6)', () => {
  it('are sent before newer messages of their publisher', async () => {
    const world = new PassWorld({ window: 4 });
    await store(world, ['b10', 'b12', 'b14', 'b16', 'b18']);
    await world.handle([deliver('c', 't')]);
    await store(world, ['a11', 'a13', 'a20']);
    await acknowledge(world, 'm10', 'm12');
    expect(ids(world)).toEqual(['m10', 'm12', 'm14', 'm16', 'm11', 'm13']);
    await acknowledge(world, 'm14', 'm16', 'm11', 'm13');
    expect(ids(world)).toEqual(['m10', 'm12', 'm14', 'm16', 'm11', 'm13', 'm18', 'm20']);
    // The later look finds nothing that was not sent.
    await world.until(world.now + GRACE_MS);
    expect(ids(world)).toHaveLength(8);
  });

  it('are sent before newer messages of their publisher within one pass', async () => {
    const world = new PassWorld({ window: 300 });
    const backlog = Array.from({ length: 120 }, (_, i) => `b${1_000 + 2 * i}`);
    await store(world, backlog);
    world.publishing = async () => {
      if (world.requests.length === 0) await store(world, ['a1001', 'a1999']);
    };
    await world.handle([deliver('c', 't')]);
    expect(ids(world)).toHaveLength(122);
    expect(ids(world).filter((id) => id === 'm1001' || id === 'm1999')).toEqual(['m1001', 'm1999']);
  });

  it('are sent before newer messages of their publisher in pubsub mode', async () => {
    const world = new PassWorld({ mode: 'pubsub', window: 4 });
    await store(world, ['b10', 'b12', 'b14', 'b16', 'b18']);
    await world.handle([deliver('c', 't')]);
    await store(world, ['a11', 'a13', 'a20']);
    world.now += 20;
    for (const read of [
      ['m10', 'm12', 'm14', 'm16'],
      ['m11', 'm13'],
    ])
      await world.handle(read.map((id) => acked('c', id, 't', { isRead: true })));
    expect(ids(world)).toEqual(['m10', 'm12', 'm14', 'm16', 'm11', 'm13', 'm18', 'm20']);
  });

  it('are sent before newer messages when the topic is one of many', async () => {
    const world = new PassWorld({ window: 4 });
    await store(world, ['b10', 'b12', 'b14', 'b16', 'b18']);
    await store(world, ['b30'], { topic: 'u' });
    await world.handle([deliver('c', '#')]);
    await store(world, ['a11', 'a20']);
    await acknowledge(world, 'm10', 'm12', 'm14', 'm16');
    await acknowledge(world, 'm11', 'm18', 'm20');
    expect(ids(world)).toEqual(['m10', 'm12', 'm14', 'm16', 'm11', 'm18', 'm20', 'm30']);
  });

  it('are not sent when their acknowledgements were accepted and the store does not show them yet', async () => {
    const world = new PassWorld({ window: 4 });
    await store(world, ['b10', 'a12', 'b14', 'a16', 'b18', 'a20']);
    await world.handle([deliver('c', 't')]);
    for (const id of ['m10', 'm12']) await world.acks.note(id, null);
    const [reads, refs] = [jest.spyOn(world.store, 'listMessages'), jest.spyOn(world.store, 'listRefs')];
    world.now += 20;
    await world.handle([acked('c', 'm10'), acked('c', 'm12')]);
    expect(ids(world)).toEqual(['m10', 'm12', 'm14', 'm16', 'm18', 'm20']);
    // One page: the acknowledged messages are not read once more. The store in memory lists ids by reading messages.
    expect(reads.mock.calls.length - refs.mock.calls.length).toBe(1);
  });

  it('are not sent when they were published after the subscription', async () => {
    const world = new PassWorld({ window: 4 });
    await store(world, ['b10', 'b12', 'b14', 'b16', 'b18']);
    await world.handle([deliver('c', 't')]);
    // A last will has the id of its client's CONNECT.
    await store(world, ['a11'], { publishReceivedAt: 19_950 });
    await store(world, ['a20']);
    await acknowledge(world, 'm10', 'm12', 'm14', 'm16');
    expect(ids(world)).toEqual(['m10', 'm12', 'm14', 'm16', 'm18', 'm20']);
  });

  it('are found behind messages that stay stored at QoS 0, which are sent once', async () => {
    const world = new PassWorld({ window: 4, qos0: 'keep' });
    await store(world, ['b10', 'b11'], { qos: 0 });
    await store(world, ['b12', 'b14', 'b16', 'b17', 'b18', 'b19', 'b21', 'b22', 'b23', 'b24', 'b25', 'b26']);
    await world.handle([deliver('c', 't')]);
    // The run looks at all messages again, and comes to the middle of the topic.
    await world.until(world.now + GRACE_MS);
    await acknowledge(world, ...(await world.out('c')));
    // The claims that kept the messages of QoS 0 from being sent again have ended.
    world.now += 61_000;
    await store(world, ['a13', 'a30']);
    for (let i = 0; i < 4; i++) await acknowledge(world, ...(await world.out('c')));
    const all = ids(world);
    expect(all.filter((id) => id === 'm13' || id === 'm30')).toEqual(['m13', 'm30']);
    expect(all).toHaveLength(16);
    expect(new Set(all).size).toBe(16);
  });

  it('are found behind messages that EMQX rejects', async () => {
    const world = new PassWorld({ window: 4, deliverTo: 'inbox' });
    const backlog = Array.from({ length: 20 }, (_, i) => `b${10 + i}`);
    await store(world, [...backlog, 'b50', 'b51', 'b52', 'b53']);
    world.outcome = ({ properties }, i) =>
      backlog.includes(`b${(properties.userProperties[MSGID_PROPERTY] ?? '').slice(1)}`)
        ? { result: 'refused', reason: 'too long' }
        : { result: 'delivered', id: `REST${world.requests.length}-${i}` };
    await world.handle([deliver('c', 't')]);
    await store(world, ['a49', 'a60']);
    await acknowledge(world, 'm50', 'm51', 'm52', 'm53');
    const all = ids(world);
    expect(all.filter((id) => id === 'm49' || id === 'm60')).toEqual(['m49', 'm60']);
  });

  it('are found behind the retained message that EMQX sends itself', async () => {
    const world = new PassWorld({ window: 4 });
    const retained = published(['b10'], { retain: true });
    await world.store.saveMessages(retained);
    await new RetainedIds(world.state).note(retained);
    await store(world, ['b12', 'b14', 'b16', 'b17', 'b18']);
    await world.handle([deliver('c', 't')]);
    await store(world, ['a13', 'a20']);
    await acknowledge(world, 'm12', 'm14', 'm16');
    expect(ids(world)).toEqual(['m12', 'm14', 'm16', 'm13', 'm17', 'm18', 'm20']);
  });

  it('are not searched for behind messages that another client is being sent', async () => {
    const world = new PassWorld({ window: 4 });
    await store(world, ['a10', 'b11', 'a12', 'b13', 'a14', 'b15', 'a16', 'b17', 'a18']);
    await world.handle([deliver('d', 't')]);
    await world.handle([deliver('c', 't')]);
    const listRefs = jest.spyOn(world.store, 'listRefs');
    await acknowledge(world, 'm14', 'm15', 'm16', 'm17');
    expect(ids(world)).toEqual(['m10', 'm11', 'm12', 'm13', 'm14', 'm15', 'm16', 'm17', 'm18']);
    expect(listRefs).not.toHaveBeenCalled();
  });

  it('are sent once more at most when EMQX drops them for good', async () => {
    const world = new PassWorld({ window: 4 });
    await store(world, ['a10', 'b11', 'a12', 'b13', 'a14', 'b15', 'a16', 'b17', 'a18', 'b19', 'a20']);
    await world.handle([deliver('c', 't')]);
    const drop = () =>
      world.handle([{ to: clientKey('c'), kind: 'dropped', clientid: 'c', id: 'm10', copyId: null, topic: 't', reason: 'too_large' }]);
    for (let i = 0; i < 6; i++) {
      await drop();
      await acknowledge(world, ...(await world.out('c')).filter((id) => id !== 'm10'));
    }
    const all = ids(world);
    expect(all.filter((id) => id === 'm10')).toHaveLength(2);
    expect(new Set(all).size).toBe(11);
  });

  it('are found although they were stored during the search before', async () => {
    const world = new PassWorld({ window: 4, qos0: 'keep' });
    await store(world, ['b10', 'b11'], { qos: 0 });
    await store(world, ['b12', 'b14', 'b16', 'b17']);
    await world.handle([deliver('c', 't')]);
    await store(world, ['a20', 'b21']);
    // The search reads the messages of QoS 0 once more. Two messages of publisher c are stored before it reads them.
    const { store: memory } = world;
    const list = memory.listMessages.bind(memory);
    jest.spyOn(memory, 'listRefs').mockImplementation(async (query) => {
      const refs = await list(query);
      await store(world, ['c13', 'c30']);
      return refs;
    });
    await acknowledge(world, 'm12', 'm14', 'm16', 'm17');
    await acknowledge(world, 'm20', 'm21', 'm13');
    expect(ids(world)).toEqual(['m10', 'm11', 'm12', 'm14', 'm16', 'm17', 'm20', 'm21', 'm13', 'm30']);
  });

  it('are not searched for among messages that are an hour older than the subscription', async () => {
    const world = new PassWorld({ window: 4 });
    world.now = 1_800_000_000_000;
    const at = world.now - 100;
    const idAt = (time: number, i: number): string => `${floorOf(time)}${String(i).padStart(16, '0')}`;
    const old = Array.from({ length: 12 }, (_, i) =>
      message({ topic: 't', id: idAt(at - 3_700_000, i), clientid: i % 2 === 0 ? 'a' : 'b', publishReceivedAt: at - 3_700_000 }),
    );
    await world.store.saveMessages(old);
    const listRefs = jest.spyOn(world.store, 'listRefs');
    await world.handle([deliver('c', 't', { at })]);
    await acknowledge(world, ...(await world.out('c')));
    await acknowledge(world, ...(await world.out('c')));
    expect(ids(world)).toEqual(old.map(({ id }) => id));
    expect(listRefs).not.toHaveBeenCalled();
  });

  it('cost a topic with one publisher no search', async () => {
    const world = new PassWorld({ window: 4 });
    const listRefs = jest.spyOn(world.store, 'listRefs');
    await store(world, ['b10', 'b11', 'b12', 'b13', 'b14', 'b15', 'b16', 'b17', 'b18']);
    await world.handle([deliver('c', 't')]);
    for (const page of [['m10', 'm11', 'm12', 'm13'], ['m14', 'm15', 'm16', 'm17'], ['m18']]) await acknowledge(world, ...page);
    expect(ids(world)).toHaveLength(9);
    expect(listRefs).not.toHaveBeenCalled();
    await world.handle([{ to: clientKey('c'), kind: 'wake' }]);
    expect(listRefs).not.toHaveBeenCalled();
  });
});
