import { ReadPurger } from '../../src/mailbox/positions/read-purger';
import { RetryableError } from '../../src/base/errors';
import { clientConsumer, groupConsumer, mailboxKey } from '../../src/mqtt/consumer';
import { Simulation } from './simulation';
import type { Session } from './simulation/broker';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const PUBSUB = { mode: 'pubsub', deliverTo: 'inbox' } as const;
const MODES = ['queue', 'pubsub'] as const;

async function takeAll(world: Simulation, session: Session): Promise<void> {
  while (session.unacknowledged.length > 0) await world.acknowledge(session, session.unacknowledged.length);
}

describe('a long backlog in pubsub mode', () => {
  it.each(['clean', 'persistent'] as const)('arrives once and in order over several connections (%s)', async (kind) => {
    const world = new Simulation({ ...PUBSUB, window: 100 });
    const texts = await world.fill('t', 3_000);
    const first: string[] = [];
    const acked = new Set<string>();
    for (let connection = 0; acked.size < 3_000; connection++) {
      if (connection > 20) throw new Error('it never ends');
      world.broker.disconnect('c', kind === 'persistent');
      const client = world.broker.connect('c');
      const start = client.delivered.length;
      world.now += connection % 2 === 0 ? 50 : 5 * MINUTE;
      const before = new Set(acked);
      await world.arrive(world.subscribed('c', 't'));
      for (let round = 0; round < 12 && acked.size < 3_000; round++) {
        await world.pass(round < 2 ? 2_500 : 100);
        const some = client.unacknowledged.filter((_, i) => (i * 7 + connection) % 3 !== 0).reverse();
        for (const { delivery } of some) acked.add(delivery.payload.toString());
        world.broker.acknowledgeAll(client, some);
        await world.tell();
        expect(Object.keys(await world.inFlight('c')).length).toBeLessThanOrEqual(100);
      }
      const now = client.texts.slice(start);
      expect(now.filter((text) => before.has(text))).toEqual([]);
      first.push(...now.filter((text) => !first.includes(text)));
    }
    expect(first).toEqual(texts);
    // A position of a few entries, however it was acknowledged.
    await world.pass(MINUTE);
    const [position] = await world.store.getPositions('c', ['t']);
    expect(JSON.stringify(position).length).toBeLessThan(60_000);
  });

  it.each(MODES)('is limited by fetch.limit for each subscription (%s)', async (mode) => {
    const world = new Simulation({ mode, deliverTo: 'inbox', window: 4, fetch: { limit: 10, maxAgeMs: null } });
    const texts = await world.fill('t', 30);
    const client = world.broker.session('c');
    for (let subscription = 0; subscription < 3; subscription++) {
      await world.arrive(world.subscribed('c', 't'));
      for (let i = 0; i < 10; i++) {
        await world.acknowledge(client, 3);
        await world.pass(1_500);
      }
      await world.pass(MINUTE);
      await takeAll(world, client);
      expect(client.texts).toEqual(texts.slice(0, 10 * (subscription + 1)));
    }
  });
});

describe('a QoS 0 subscriber in pubsub mode', () => {
  const subject = async (qos0: 'settle' | 'keep' | 'skip', filter = 't') => {
    const world = new Simulation({ ...PUBSUB, qos0, window: 50 });
    const texts = await world.fill('t', 120);
    await world.arrive(world.subscribed('c', filter, 0));
    return { world, texts, client: world.broker.session('c') };
  };

  it.each(['t', '#', '$share/g/t', '$share/g/#'])('with qos0 settle gets each message once, with pauses (%s)', async (filter) => {
    const { world, texts, client } = await subject('settle', filter);
    expect(client.texts).toHaveLength(50);
    await world.pass(MINUTE);
    await world.arrive(world.subscribed('c', filter, 0));
    await world.pass(MINUTE);
    expect(client.texts).toEqual(texts);
    expect(world.store.messages.size).toBe(120);
  });

  it('with qos0 keep gets each message once per subscription', async () => {
    const { world, texts, client } = await subject('keep');
    await world.pass(MINUTE);
    expect(client.texts).toEqual(texts);
    await world.arrive(world.subscribed('c', 't', 0));
    await world.pass(MINUTE);
    expect(client.texts).toEqual([...texts, ...texts]);
  });

  it('with qos0 skip gets nothing until it subscribes at QoS 1', async () => {
    const { world, texts, client } = await subject('skip');
    await world.pass(MINUTE);
    expect(client.texts).toEqual([]);
    await world.arrive(world.subscribed('c', 't', 1));
    // EMQX is asked what it holds for this connection, and its acknowledgements get a second to arrive.
    await world.pass(2_500);
    await takeAll(world, client);
    expect(client.texts).toEqual(texts);
  });

  it.each(['t', '$share/g/t'])('with qos0 settle gets the rest after it left during a pause (%s)', async (filter) => {
    const { world, texts } = await subject('settle', filter);
    world.broker.disconnect('c', false);
    await world.pass(MINUTE);
    await world.arrive(world.subscribed('c', filter, 0));
    await world.pass(MINUTE);
    expect(world.broker.session('c').texts).toEqual(texts.slice(50));
  });
});

describe('retained messages', () => {
  const RETAIN = { retain: true } as const;

  it.each(MODES)('are left to EMQX, and not sent after their acknowledgement (%s)', async (mode) => {
    const world = new Simulation({ mode, deliverTo: 'inbox' });
    await world.fill('t', 2);
    const event = world.published('t', 'kept', RETAIN);
    await world.arrive(event);
    world.now += 1;
    await world.arrive(world.subscribed('c', 't'));
    const client = world.broker.session('c');
    expect(client.texts).toEqual(['m0', 'm1']);
    if (event.type !== 'publish') throw new Error('no publish');
    await world.arrive({ type: 'acked', id: event.message.id, topic: 't', clientid: 'c', mark: null, at: world.now });
    await takeAll(world, client);
    await world.pass(MINUTE);
    expect(client.texts).toEqual(['m0', 'm1']);
    // Another one that EMQX did not send it to gets it from us.
    await world.arrive(world.subscribed('d', 't'));
    await world.pass(MINUTE);
    expect(world.broker.session('d').texts.includes('kept')).toBe(mode === 'pubsub');
  });

  it('are sent to a group at once, because EMQX sends it none', async () => {
    const world = new Simulation(PUBSUB);
    await world.fill('t', 1, RETAIN);
    await world.arrive(world.subscribed('c', '$share/g/t'));
    expect(world.broker.session('c').texts).toEqual(['m0']);
  });

  it.each(MODES)('are left to EMQX also when another worker takes over the job (%s)', async (mode) => {
    const world = new Simulation({ mode, deliverTo: 'inbox' });
    await world.fill('t', 1, RETAIN);
    world.accept(world.subscribed('c', 't'));
    // Its worker dies before each of its first steps, and the next one has it to do again.
    for (let i = 0; i < 3; i++) {
      world.steps.left = 1;
      await world.work();
    }
    world.steps.left = null;
    await world.settle();
    expect(world.broker.session('c').texts).toEqual([]);
    await world.pass(10_000);
    expect(world.broker.session('c').texts).toEqual(['m0']);
  });
});

describe('one client with several subscriptions', () => {
  it('gets every message once for each of two groups and itself', async () => {
    const world = new Simulation(PUBSUB);
    const texts = await world.fill('t', 5);
    for (const filter of ['t', '$share/g/t', '$share/h/t']) await world.arrive(world.subscribed('c', filter));
    const client = world.broker.session('c');
    expect(client.texts.sort()).toEqual([...texts, ...texts, ...texts].sort());
    await takeAll(world, client);
    for (const filter of ['t', '$share/g/t', '$share/h/t']) await world.arrive(world.subscribed('d', filter));
    await takeAll(world, world.broker.session('d'));
    // The groups have read it, d has not.
    expect(world.broker.session('d').texts).toEqual(texts);
  });

  it.each([
    ['$share/g', '$share/g/t'],
    ['$client/x', 't'],
    ['$client/$share/g', 't'],
  ])('with the id %s has a mailbox of its own', async (clientid, filter) => {
    const world = new Simulation(PUBSUB);
    const texts = await world.fill('t', 3);
    await world.arrive(world.subscribed(clientid, 't'));
    const client = world.broker.session(clientid);
    await takeAll(world, client);
    expect(Object.keys(await world.inFlight(clientid))).toEqual([]);
    expect(await world.store.getPositions(clientConsumer(clientid), ['t'])).toHaveLength(1);
    await world.arrive(world.subscribed(clientid, 't'));
    await world.pass(2_500);
    await world.arrive(world.subscribed('m', filter));
    await world.arrive(world.subscribed('x', 't'));
    expect(client.texts).toEqual(texts);
    expect(world.broker.session('m').texts).toEqual(texts);
    expect(world.broker.session('x').texts).toEqual(texts);
  });

  // Promise 9, and the plugin's second case.
  it('gets one copy when the server restores a subscription that it also makes', async () => {
    const world = new Simulation({ ...PUBSUB, window: 3 });
    const texts = await world.fill('t', 10);
    await world.arrive(world.subscribed('c', 't'));
    await world.acknowledge(world.broker.session('c'), 3);
    await world.pass(MINUTE);
    world.broker.disconnect('c', false);
    world.now += HOUR;
    const client = world.broker.connect('c');
    const at = world.now;
    await world.arrive({ type: 'connected', clientid: 'c', node: 'n', at, cleanStart: true, expiryMs: 0, sessionOnly: false });
    expect(world.broker.events.map(({ type }) => type)).toEqual(['subscribed']);
    world.now += 5;
    const own = world.subscribed('c', 't');
    await world.arrive(...world.broker.events.splice(0));
    world.now += 5;
    await world.arrive(own);
    await world.pass(1_000);
    while (client.unacknowledged.length > 0) await world.acknowledge(client, 1);
    await world.pass(MINUTE);
    expect(client.texts).toEqual(texts.slice(3));
  });
});

describe('messages that are deleted during their delivery', () => {
  it.each(MODES)('by the API do not stop the delivery of the others (%s)', async (mode) => {
    const world = new Simulation({ mode, deliverTo: 'inbox', window: 4 });
    const texts = await world.fill('t', 20);
    await world.arrive(world.subscribed('c', 't'));
    const client = world.broker.session('c');
    await world.store.removeMessages([...world.store.messages.values()].slice(0, 8));
    for (let i = 0; i < 2; i++) world.broker.drop(client, 'queue_full');
    await world.tell();
    await takeAll(world, client);
    expect(client.texts).toEqual([...texts.slice(0, 4), ...texts.slice(8)]);
    await world.pass(MINUTE);
    expect(Object.keys(await world.inFlight('c'))).toEqual([]);
  });

  it.each(MODES)('by maxStored do not stop the delivery of the others (%s)', async (mode) => {
    const world = new Simulation({ mode, deliverTo: 'inbox', window: 50, maxStored: 100 });
    await world.fill('t', 90);
    const late = world.published('t', 'late');
    world.now += 1;
    await world.arrive(world.subscribed('c', 't'));
    const client = world.broker.session('c');
    await takeAll(world, client);
    await world.pass(MINUTE);
    await takeAll(world, client);
    const texts = await world.fill('t', 150, {}, 'n');
    await world.trim();
    await world.arrive(late);
    await world.arrive(world.subscribed('c', 't'));
    await world.pass(2_500);
    await takeAll(world, client);
    expect(world.store.messages.size).toBeLessThanOrEqual(110);
    expect(client.texts.slice(90).filter((text) => text !== 'late')).toEqual(
      texts.slice(-client.texts.filter((text) => text.startsWith('n')).length),
    );
    expect(client.texts.filter((text) => text.startsWith('n')).length).toBeGreaterThanOrEqual(99);
  });

  it('by the purge are not sent after a repeated event; a late one is', async () => {
    const world = new Simulation({ ...PUBSUB, window: 100 });
    const late = world.published('t', 'late');
    world.now += 1;
    const again = world.published('t', 'again');
    await world.arrive(again);
    await world.fill('t', 60);
    for (const name of ['c', 'd']) await world.arrive(world.subscribed(name, 't'));
    for (const name of ['c', 'd']) await takeAll(world, world.broker.session(name));
    await world.pass(MINUTE);
    const purger = new ReadPurger({
      store: world.store,
      sequence: world.queue.asSequence(),
      lanes: { messages: ['messages-0'], clients: ['clients-0', 'clients-1'] },
      policies: world.policies,
      now: () => world.now,
    });
    for (let i = 0; i < 4; i++) await purger.run();
    expect(world.store.messages.size).toBe(0);
    await world.arrive(again, late);
    for (const name of ['c', 'd']) {
      await world.arrive(world.subscribed(name, 't'));
      await world.pass(2_500);
      await takeAll(world, world.broker.session(name));
      expect(world.broker.session(name).texts.slice(61)).toEqual(['late']);
    }
  });

  it('by expiry do not stop the delivery of newer messages', async () => {
    const world = new Simulation({ ...PUBSUB, ttlMs: HOUR, window: 20 });
    await world.fill('t', 100);
    await world.arrive(world.subscribed('c', 't'));
    await world.acknowledge(world.broker.session('c'), 30);
    await world.pass(2 * HOUR);
    world.broker.disconnect('c', false);
    const texts = await world.fill('t', 40, {}, 'n');
    await world.arrive(world.subscribed('c', 't'));
    const client = world.broker.session('c');
    await world.pass(2_500);
    await takeAll(world, client);
    expect(client.texts).toEqual(texts);
  });
});

// Promise 5, in pubsub mode with the order of events in hand.
describe('late publishes in pubsub mode', () => {
  it.each(['t', '#', '$share/g/t', '$share/g/#'])('reach a subscription that was made after their publish (%s)', async (filter) => {
    const world = new Simulation(PUBSUB);
    const late = world.published('t', 'late');
    world.now += 1;
    await world.fill('t', 60);
    await world.arrive(world.subscribed('c', filter));
    const client = world.broker.session('c');
    // Positions pass it meanwhile.
    for (let i = 0; i < 6; i++) {
      await world.acknowledge(client, 20);
      await world.pass(1_500);
    }
    await world.arrive(late);
    await world.pass(MINUTE);
    await takeAll(world, client);
    expect(client.texts.filter((text) => text === 'late')).toHaveLength(1);
    expect(client.texts).toHaveLength(61);
  });
});

// The members' lanes are behind, and the group's is not: an acknowledgement that was accepted is not known in the group's mailbox yet.
describe('what a member of a shared group has acknowledged', () => {
  const key = mailboxKey(groupConsumer('g'));
  const subject = async (count: number) => {
    const world = new Simulation({ ...PUBSUB, window: 2 });
    const texts = await world.fill('t', count);
    return { world, texts, member: world.broker.session('m1') };
  };

  it('is not sent again when the group takes its copy for lost', async () => {
    const { world, texts, member } = await subject(5);
    await world.arrive(world.subscribed('m1', '$share/g/t'));
    // After the later look the run reads on from where it is, and not from its start.
    await world.pass(11_000);
    await world.acknowledge(member, 2);
    expect(member.texts).toEqual(texts.slice(0, 4));
    await world.pass(59_000);
    world.broker.acknowledge(member, 1);
    world.accept(...world.broker.events.splice(0));
    world.now += 2_000;
    expect(world.queue.due(world.now)).not.toBeNull();
    await world.work(() => key);
    expect(member.texts).toEqual(texts.slice(0, 4));
    await world.settle();
    await world.pass(1_000);
    // The other copy was lost, and is sent again.
    expect(member.texts).toEqual([...texts.slice(0, 4), 'm3', 'm4']);
  });

  it("is not sent again when the group's job is repeated, and its claims have ended", async () => {
    const { world, texts, member } = await subject(6);
    await world.arrive(world.subscribed('m1', '$share/g/t'));
    await world.pass(11_000);
    world.broker.acknowledge(member, 2);
    world.accept(...world.broker.events.splice(0));
    // The member's lane passes the acknowledgements on to the group's.
    await world.work(() => mailboxKey(clientConsumer('m1')));
    const save = world.state.save.bind(world.state);
    world.state.save = async (records) => {
      if (!records.some(({ key: name }) => name.endsWith(key)) || member.texts.length < 4) return save(records);
      world.state.save = save;
      world.broker.acknowledge(member, 1);
      world.accept(...world.broker.events.splice(0));
      world.now += 30_000;
      throw new RetryableError('the process died before it saved');
    };
    await world.work(() => key);
    expect(member.texts).toEqual(texts.slice(0, 4));
    await world.settle();
    await world.pass(1_000);
    expect(member.texts).toEqual([...texts.slice(0, 4), 'm3', 'm4']);
  });
});

describe('POST /v1/deliveries', () => {
  it.each([...MODES.map((mode) => [mode, 't'] as const), ...MODES.map((mode) => [mode, '$share/g/t'] as const)])(
    'has the effect of one more subscription (%s, %s)',
    async (mode, filter) => {
      const world = new Simulation({ mode, deliverTo: 'inbox', window: 4 });
      const texts = await world.fill('t', 10);
      const client = world.broker.session('c');
      await world.arrive(world.subscribed('c', filter));
      await world.acknowledge(client, 4);
      await world.pass(MINUTE);
      // Four are unacknowledged, and the client is still there: EMQX holds them for it. Of a group's EMQX is not asked:
      // another member may have them.
      world.deliver('c', filter);
      await world.settle();
      await world.pass(MINUTE);
      while (client.unacknowledged.length > 0) await world.acknowledge(client, 4);
      expect([...new Set(client.texts)]).toEqual(texts);
      if (filter === 't') expect(client.texts).toHaveLength(10);
    },
  );
});
