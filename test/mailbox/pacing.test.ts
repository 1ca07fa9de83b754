import { clientConsumer, mailboxKey } from '../../src/mqtt/consumer';
import { Simulation } from './simulation';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** The state of a client, its window and the leases of its messages, always ends. */
describe('the pace of deliveries (promise 10)', () => {
  it('never exceeds the window, and delivers every message', async () => {
    const world = new Simulation({ window: 20 });
    const texts = await world.fill('t', 500);
    const client = world.broker.session('c');
    await world.arrive(world.subscribed('c', 't'));
    while (client.unacknowledged.length > 0) await world.acknowledge(client, 7);
    expect(client.texts).toEqual(texts);
    expect(world.peak.get('c')).toBe(20);
    expect(world.store.messages.size).toBe(0);
  });

  // The guard is the room in Rounds: a client that takes nothing has its window full. EMQX is asked for it now and
  // then, and tells that it still has all of it.
  it('needs one timer for a client that stops acknowledging', async () => {
    const world = new Simulation({ window: 20 });
    await world.fill('t', 100);
    await world.arrive(world.subscribed('c', 't'));
    await world.pass(MINUTE);
    expect(world.broker.session('c').texts).toHaveLength(20);
    expect(world.delayed.length).toBeLessThanOrEqual(2);
    await world.pass(HOUR);
    expect(world.broker.session('c').texts).toHaveLength(20);
    expect(world.delayed).toHaveLength(1);
    expect(world.store.messages.size).toBe(100);
    // It comes back.
    const client = world.broker.session('c');
    await world.arrive(world.subscribed('c', 't'));
    for (; world.store.messages.size > 0; await world.pass(1_000)) await world.acknowledge(client, 50);
    expect(client.texts).toHaveLength(100);
  });

  it('sends a client that left in the middle only the remaining messages', async () => {
    const world = new Simulation({ window: 20 });
    const texts = await world.fill('t', 100);
    await world.arrive(world.subscribed('c', 't'));
    await world.acknowledge(world.broker.session('c'), 13);
    await world.pass(MINUTE);
    world.broker.sessions.delete('c');
    const again = world.broker.session('c');
    await world.arrive(world.subscribed('c', 't'));
    await world.pass(2_000);
    while (again.unacknowledged.length > 0) await world.acknowledge(again, 20);
    expect(again.texts).toEqual(texts.slice(13));
  });

  // EMQX gives what is sent for one member to another, and that one's acknowledgements say nothing of the window.
  describe('to a shared subscription', () => {
    const members = async (world: Simulation) => {
      for (const clientid of ['a', 'b', 'c']) await world.arrive(world.subscribed(clientid, '$share/g/t'));
      return ['a', 'b', 'c'].map((clientid) => world.broker.session(clientid));
    };

    it('continues when any member of the group acknowledges', async () => {
      const world = new Simulation({ window: 20 });
      const texts = await world.fill('t', 500);
      const group = await members(world);
      for (let i = 0; i < 400; i++) for (const member of group) await world.acknowledge(member, 3);
      expect(new Set(group.flatMap((member) => member.texts))).toEqual(new Set(texts));
      expect(world.store.messages.size).toBe(0);
    });

    it('continues when EMQX drops messages of another member', async () => {
      const world = new Simulation({ window: 20 });
      await world.fill('t', 200);
      const group = await members(world);
      for (let i = 0; i < 5; i++) {
        for (const member of group) if (member.unacknowledged.length > 0) world.broker.drop(member, 'queue_full');
        await world.tell();
      }
      for (let i = 0; i < 400; i++) {
        for (const member of group) await world.acknowledge(member, 3);
        await world.pass(1_000);
      }
      expect(world.store.messages.size).toBe(0);
    });
  });

  describe('at QoS 0, where nothing is acknowledged', () => {
    // Without the pauses all 1,000 would go at once.
    it('is limited by batches with pauses', async () => {
      const world = new Simulation({ window: 50 });
      const texts = await world.fill('t', 1_000);
      const client = world.broker.session('c');
      await world.arrive(world.subscribed('c', 't', 0));
      expect(client.texts).toHaveLength(50);
      for (let most = 100; most <= 1_000; most += 50) {
        await world.pass(100);
        expect(client.texts.length).toBeLessThanOrEqual(most);
      }
      expect(client.texts).toEqual(texts);
      expect(world.store.messages.size).toBe(0);
      await world.pass(MINUTE);
      expect(world.delayed).toEqual([]);
    });

    it('is limited by bytes, too', async () => {
      const world = new Simulation({});
      await world.fill('t', 100, { payload: Buffer.alloc(200_000) });
      await world.arrive(world.subscribed('c', 't', 0));
      expect(world.broker.session('c').texts).toHaveLength(6);
      await world.pass(2_000);
      expect(world.broker.session('c').texts).toHaveLength(100);
    });

    it('is not faster when the client subscribes several times', async () => {
      const world = new Simulation({ window: 50 });
      await world.fill('t', 500);
      for (const filter of ['t', '#', '+', 't']) await world.arrive(world.subscribed('c', filter, 0));
      await world.pass(99);
      // Overlapping subscriptions get a copy each.
      expect(new Set(world.broker.session('c').texts).size).toBe(50);
    });

    it('continues from the topics of one policy to those of the next', async () => {
      const world = new Simulation({ filter: 'a', window: 80 }, { filter: 'b', window: 10 });
      await world.fill('a', 60);
      await world.fill('b', 25);
      await world.arrive(world.subscribed('c', '+', 0));
      await world.pass(5_000);
      expect(world.broker.session('c').texts).toHaveLength(85);
    });

    it('stops when the client disconnects, and the remaining messages stay stored', async () => {
      const world = new Simulation({ window: 50 });
      await world.fill('t', 500);
      await world.arrive(world.subscribed('c', 't', 0));
      world.broker.sessions.delete('c');
      await world.pass(MINUTE);
      expect(world.store.messages.size).toBe(450);
      expect(world.delayed).toEqual([]);
    });

    // EMQX takes them for a session that outlives its connection, and drops the oldest. The guard is `isHere` in plan.ts.
    it('stops when the disconnect event arrives', async () => {
      const world = new Simulation({ window: 50 });
      await world.fill('t', 500);
      await world.arrive(world.subscribed('c', 't', 0));
      await world.arrive({
        type: 'disconnected',
        clientid: 'c',
        node: null,
        connectedAt: world.broker.session('c').connectedAt,
        at: world.now + 10,
      });
      await world.pass(9_000);
      expect(world.broker.session('c').texts).toHaveLength(50);
      expect(world.store.messages.size).toBe(450);
    });
  });
});

describe('a message that EMQX drops (delivery.dropped)', () => {
  // The guard is routeDropped: without it the place in the window is lost, and the message waits for the next subscription.
  it('is sent again when the client acknowledges another, not at once', async () => {
    const world = new Simulation({ window: 10 });
    const texts = await world.fill('t', 30);
    const client = world.broker.session('c');
    await world.arrive(world.subscribed('c', 't'));
    for (let i = 0; i < 3; i++) world.broker.drop(client, 'queue_full');
    await world.tell();
    expect(client.texts).toHaveLength(10);
    while (client.unacknowledged.length > 0) await world.acknowledge(client, 1);
    expect([...new Set(client.texts)].sort()).toEqual([...texts].sort());
    expect(client.texts).toHaveLength(33);
    expect(world.store.messages.size).toBe(0);
    expect((await world.metrics.deliveriesDropped.get()).values).toMatchObject([{ labels: { reason: 'queue_full' }, value: 3 }]);
  });

  // Promise 6. The guard is `stopped` in Claiming.claim: what is sent again has a parcel for each message, and a
  // process may have died between sending one and saving that.
  it('waits behind an earlier one that may have been sent already', async () => {
    const world = new Simulation({ window: 10 });
    const texts = await world.fill('t', 10);
    const client = world.broker.session('c');
    await world.arrive(world.subscribed('c', 't'));
    const [first] = world.store.messages.keys();
    for (let i = 0; i < 9; i++) world.broker.drop(client, 'queue_full');
    await world.tell();
    await world.state.lease([{ name: first ?? '', owner: mailboxKey(clientConsumer('c')) }], 10_000);
    await world.acknowledge(client, 1);
    expect(client.texts.slice(10)).toEqual([]);
    await world.pass(25_000);
    expect(client.texts.slice(10, 12)).toEqual(texts.slice(0, 2));
  });

  // Promise 6. The guard is `late` in Sender.publish: what is sent again is read one by one.
  it('is sent again in order when the process pauses while it reads', async () => {
    const world = new Simulation({ window: 10 });
    const texts = await world.fill('t', 10);
    const client = world.broker.session('c');
    await world.arrive(world.subscribed('c', 't'));
    for (let i = 0; i < 9; i++) world.broker.drop(client, 'queue_full');
    await world.tell();
    const getMessage = world.store.getMessage.bind(world.store);
    let reads = 0;
    world.store.getMessage = async (id) => {
      const message = await getMessage(id);
      if (++reads === 1) world.now += 6_000;
      return message;
    };
    for (let i = 0; i < 60; i++) {
      await world.acknowledge(client, 1);
      await world.pass(1_000);
    }
    const again = client.texts.slice(10);
    expect(reads).toBeGreaterThan(1);
    expect(again).toEqual(texts.filter((text) => again.includes(text)));
    expect(again).toHaveLength(9);
  });

  it('is sent again slowly: two messages for each acknowledgement', async () => {
    const world = new Simulation({ window: 10 });
    await world.fill('t', 10);
    const client = world.broker.session('c');
    await world.arrive(world.subscribed('c', 't'));
    for (let i = 0; i < 9; i++) world.broker.drop(client, 'queue_full');
    await world.tell();
    await world.acknowledge(client, 1);
    expect(client.texts).toHaveLength(12);
    await world.acknowledge(client, 1);
    expect(client.texts).toHaveLength(14);
  });

  it('is sent again after 10 s when nothing is left to acknowledge', async () => {
    const world = new Simulation({ window: 10 });
    const texts = await world.fill('t', 25);
    const client = world.broker.session('c');
    await world.arrive(world.subscribed('c', 't'));
    for (let i = 0; i < 10; i++) world.broker.drop(client, 'queue_full');
    await world.tell();
    await world.pass(9_000);
    expect(client.texts).toHaveLength(10);
    await world.pass(1_000);
    expect(client.texts).toHaveLength(11);
    while (client.unacknowledged.length > 0) await world.acknowledge(client, 10);
    expect([...new Set(client.texts)].sort()).toEqual([...texts].sort());
    expect(world.store.messages.size).toBe(0);
  });

  // Otherwise a message that EMQX drops each time would be sent for ever.
  it('is given up after several attempts until the client subscribes again', async () => {
    const world = new Simulation({ window: 10 });
    await world.fill('t', 5);
    world.broker.queue = 0;
    await world.arrive(world.subscribed('c', 't'));
    await world.tell();
    const client = world.broker.session('c');
    for (let seconds = 0; seconds < 1_200; seconds++) {
      await world.pass(1_000);
      await world.tell();
    }
    expect(client.texts.length).toBeLessThanOrEqual(5 + 6);
    expect(world.delayed).toEqual([]);
    await world.pass(HOUR);
    expect(world.state.size()).toBe(0);
    world.broker.queue = Infinity;
    await world.arrive(world.subscribed('c', 't'));
    await world.acknowledge(client, 5);
    expect(world.store.messages.size).toBe(0);
  });

  it('is not sent again when it has expired (promise 12)', async () => {
    const world = new Simulation({ window: 4, ttlMs: 5_000 });
    await world.fill('t', 4);
    const client = world.broker.session('c');
    await world.arrive(world.subscribed('c', 't'));
    await world.pass(5_500);
    for (let i = 0; i < 4; i++) world.broker.drop(client, i % 2 === 0 ? 'expired' : 'queue_full');
    await world.tell();
    await world.pass(MINUTE);
    expect(client.texts).toEqual(['m0', 'm1', 'm2', 'm3']);
    expect(world.delayed).toEqual([]);
  });

  it('makes room in the window when it expired on its way', async () => {
    const world = new Simulation({ window: 4 });
    await world.fill('t', 4, { expiresAt: world.now + 1_000 }, 'short');
    await world.fill('t', 8);
    const client = world.broker.session('c');
    await world.arrive(world.subscribed('c', 't'));
    await world.pass(1_500);
    for (let i = 0; i < 4; i++) world.broker.drop(client, 'expired');
    await world.tell();
    await world.pass(10_000);
    while (client.unacknowledged.length > 0) await world.acknowledge(client, 4);
    expect(client.texts).toHaveLength(12);
    expect(client.texts.slice(4)).toEqual(Array.from({ length: 8 }, (_, i) => `m${i}`));
  });

  // The guard is FOR_GOOD in drops.ts.
  it.each(['too_large', 'no_local'])('is not sent again to a client that cannot receive it (%s)', async (reason) => {
    const world = new Simulation({ window: 4 });
    await world.fill('t', 8);
    const client = world.broker.session('c');
    await world.arrive(world.subscribed('c', 't'));
    world.broker.drop(client, reason);
    await world.tell();
    while (client.unacknowledged.length > 0) await world.acknowledge(client, 1);
    expect(client.texts.filter((text) => text === 'm0')).toHaveLength(1);
    expect([...world.store.messages.values()].map(({ payload }) => payload.toString())).toEqual(['m0']);
  });

  it('is not sent again when another client has acknowledged it', async () => {
    const world = new Simulation({ window: 10 });
    await world.fill('t', 2);
    const client = world.broker.session('c');
    const other = world.broker.session('other');
    other.subscriptions.set('t', 1);
    await world.arrive(world.subscribed('c', 't'));
    world.broker.drop(client, 'queue_full');
    await world.tell();
    await world.acknowledge(other, 1);
    await world.acknowledge(client, 1);
    expect(client.texts).toEqual(['m0', 'm1']);
  });

  it.each([
    ['twice', 2],
    ['once', 1],
  ])('is sent again once when EMQX reports the drop %s', async (_, times) => {
    const world = new Simulation({ window: 10 });
    await world.fill('t', 3);
    const client = world.broker.session('c');
    const other = world.broker.session('other');
    other.subscriptions.set('t', 1);
    await world.arrive(world.subscribed('c', 't'));
    world.broker.drop(other, 'queue_full');
    world.broker.drop(client, 'queue_full');
    const events = world.broker.events.splice(0);
    for (let i = 0; i < times; i++) await world.arrive(...events);
    while (client.unacknowledged.length > 0) await world.acknowledge(client, 1);
    expect(client.texts.sort()).toEqual(['m0', 'm0', 'm1', 'm2']);
  });

  // Promise 18. The guard is Signer.verified in routeDropped.
  it("is ignored when the drop event's mark has a forged signature", async () => {
    const world = new Simulation({ window: 2 });
    await world.fill('t', 4);
    const client = world.broker.session('c');
    await world.arrive(world.subscribed('c', 't'));
    world.broker.drop(client, 'queue_full');
    const [event] = world.broker.events.splice(0);
    if (event?.type !== 'delivery-dropped') throw new Error('no event');
    await world.arrive({ ...event, mark: { id: event.mark?.id ?? '', signature: 'forged' } });
    await world.acknowledge(client, 1);
    expect(client.texts).toEqual(['m0', 'm1', 'm2']);
  });

  it('keeps its place in the order when the client subscribes again', async () => {
    const world = new Simulation({ window: 10 });
    const texts = await world.fill('t', 10);
    await world.arrive(world.subscribed('c', 't'));
    for (let i = 0; i < 5; i++) world.broker.drop(world.broker.session('c'), 'queue_full');
    await world.tell();
    await world.pass(MINUTE);
    world.broker.sessions.delete('c');
    const again = world.broker.session('c');
    await world.arrive(world.subscribed('c', 't'));
    await world.pass(2_000);
    expect(again.texts).toEqual(texts);
  });
});
