import type { DeliveryRequest, MailEvent } from '../../src/lanes/jobs';
import { clientKey } from '../../src/mqtt/consumer';
import type { Policy } from '../../src/config/policies';
import { message } from '../support/messages';
import { acked, deliver, PassWorld } from './pass-world';

const SESSION = { connected: true, persistent: true, durable: false, queued: 0, inflight: 0 };

/** A, B and C are stored of t, and delivered to inboxes. */
async function subject(fields: Partial<Policy> = {}, ids: readonly string[] = ['A', 'B', 'C']) {
  const world = new PassWorld({ mode: 'pubsub', deliverTo: 'inbox', ...fields });
  await world.stored('t', ...ids);
  world.store.subscriptions.push({ clientid: 'c', topic: 't', qos: 1 });
  const subscribe = async (clientid: string, more: Partial<DeliveryRequest> = {}, ...before: MailEvent[]) =>
    expect(await world.handle([...before, deliver(clientid, more.filter ?? 't', more)])).toEqual([]);
  const read = async (...all: string[]) => expect(await world.handle(all.map((id) => acked('c', id, 't', { isRead: true })))).toEqual([]);
  return { world, subscribe, read };
}

describe('delivery in pubsub mode', () => {
  it('sends each consumer its unread messages, even while another is sent the same ones', async () => {
    const { world, subscribe } = await subject();
    await world.store.putPositions([{ consumer: 'd', topic: 't', id: 'A', receipts: ['C'] }]);
    await subscribe('c');
    await subscribe('d');
    expect(world.published).toEqual(['$offline/c/t A', '$offline/c/t B', '$offline/c/t C', '$offline/d/t B']);
  });

  it('has one mailbox for a group and sends to the member that subscribed first', async () => {
    const { world, subscribe } = await subject();
    const of = (at: number) => ({ filter: '$share/g/t', consumer: '$share/g', at });
    await subscribe('m1', of(19_000));
    await subscribe('m2', of(19_900));
    expect(world.published).toEqual(['A', 'B', 'C'].map((id) => `$offline/m1/t ${id}`));
    expect(await world.out('$share/g')).toEqual(['A', 'B', 'C']);
    // The other member may still acknowledge.
    await world.until(60_000);
    expect(world.published).toHaveLength(3);
  });

  describe('to a client that resumes its session (promise 19)', () => {
    /** It was sent A and B, and connects anew. */
    async function back(holds: readonly string[]) {
      const all = await subject({}, ['A', 'B']);
      const { world, subscribe } = all;
      world.session = () => ({ ...SESSION, connectedAt: 19_800, createdAt: 5_000 });
      world.held = { kind: 'list', messages: [], complete: true };
      await subscribe('c');
      await world.until(21_600);
      expect(world.published).toEqual(['$offline/c/t A', '$offline/c/t B']);
      await world.store.saveMessages([message({ topic: 't', id: 'C', publishReceivedAt: 2 })]);
      const emqxIds = new Map([...((await world.mailbox('c'))?.out ?? [])].map(([id, { emqxId }]) => [id, emqxId ?? '']));
      world.requests.length = 0;
      world.held = {
        kind: 'list',
        messages: holds.map((id) => ({ id: emqxIds.get(id) ?? '', topic: '$offline/c/t', from: 'http_api' })),
        complete: true,
      };
      world.session = () => ({ ...SESSION, connectedAt: 25_000, createdAt: 5_000 });
      world.now = 25_200;
      await subscribe('c', { at: 25_100 });
      return all;
    }

    // Promise 6: it would get C before A and B. The guard is doubtUntil.
    it('sends nothing new before possibly lost messages are sent again', async () => {
      const { world } = await back([]);
      expect(world.published).toEqual([]);
      await world.until(26_100);
      expect(world.published).toEqual([]);
      await world.until(27_000);
      expect(world.published).toEqual(['$offline/c/t A', '$offline/c/t B', '$offline/c/t C']);
    });

    it('sends new messages when the acknowledgements of earlier ones arrive', async () => {
      const { world, read } = await back([]);
      await read('A', 'B');
      await world.until(27_000);
      expect(world.published).toEqual(['$offline/c/t C']);
    });

    it('sends no message again that EMQX holds', async () => {
      const { world } = await back(['A', 'B']);
      await world.until(31_000);
      expect(world.published).toEqual(['$offline/c/t C']);
      expect(await world.out('c')).toEqual(['A', 'B', 'C']);
    });
  });

  // Promise 6. The guard is hasInbox: a connection that is new, and has not subscribed yet, would get C before A and B.
  it('promise 6: opens the inbox when a client subscribes, not when a delivery continues', async () => {
    const { world, subscribe, read } = await subject({ window: 2 });
    await subscribe('c');
    await read('A', 'B');
    expect(world.published).toHaveLength(3);
    expect(world.opened).toEqual(['c']);
  });

  it('does not count the acknowledgement of one client for another', async () => {
    const { world, subscribe } = await subject({ window: 2 });
    await subscribe('c');
    await world.handle([{ ...acked('d', 'A', 't', { isRead: true, ours: false }), to: clientKey('d') }]);
    expect([await world.out('c'), world.published]).toEqual([
      ['A', 'B'],
      ['$offline/c/t A', '$offline/c/t B'],
    ]);
    expect(
      (await world.store.getPositions('c', ['t'])).flatMap(({ receipts }) => receipts.filter((each) => !each.startsWith('@'))),
    ).toEqual([]);
  });

  it('counts a message that EMQX took as read with settle: delivered', async () => {
    const { world, subscribe } = await subject({ settle: 'delivered' });
    await subscribe('c');
    const [position] = await world.store.getPositions('c', ['t']);
    expect((position?.receipts ?? []).filter((each) => !each.startsWith('@'))).toEqual(['A', 'B', 'C']);
    expect(await world.out('c')).toEqual([]);
  });

  // Promise 16.
  it.each([
    ['settle', ['A', 'B', 'C']],
    ['keep', []],
  ] as const)('promise 16: counts messages sent at QoS 0 as read according to qos0 (%s)', async (qos0, read) => {
    const { world, subscribe } = await subject({ qos0 });
    await subscribe('c', { qos: 0 });
    expect(world.published).toHaveLength(3);
    const [position] = await world.store.getPositions('c', ['t']);
    expect((position?.receipts ?? []).filter((each) => !each.startsWith('@'))).toEqual(read);
    expect(world.store.messages.size).toBe(3);
  });
});
