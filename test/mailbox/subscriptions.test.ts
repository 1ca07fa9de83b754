import { message } from '../support/messages';
import { Simulation } from './simulation';
import type { Session } from './simulation/broker';

const MINUTE = 60_000;

async function takeAll(world: Simulation, client: Session): Promise<void> {
  while (client.unacknowledged.length > 0) await world.acknowledge(client, client.unacknowledged.length);
}

describe('a late publish (promise 5)', () => {
  // A run is looked at again after GRACE_MS, because EMQX's events may arrive late and in another order.
  it.each([0, 1, 5_000, 9_999])('is delivered when its event arrives %i ms after the subscription', async (late) => {
    const world = new Simulation();
    const event = world.published('t', 'late');
    world.now += 1;
    await world.arrive(world.subscribed('c', 't'));
    await world.pass(late);
    expect(world.broker.session('c').texts).toEqual([]);
    await world.arrive(event);
    await world.pass(10_000 - late);
    expect(world.broker.session('c').texts).toEqual(['late']);
    await takeAll(world, world.broker.session('c'));
    await world.pass(MINUTE);
    expect(world.broker.session('c').texts).toEqual(['late']);
  });

  it('is delivered although its id is lower than those already delivered', async () => {
    const world = new Simulation();
    const late = world.published('t', 'first');
    await world.fill('t', 3);
    await world.arrive(world.subscribed('c', 't'));
    await takeAll(world, world.broker.session('c'));
    await world.arrive(late);
    await world.pass(10_000);
    expect(world.broker.session('c').texts).toEqual(['m0', 'm1', 'm2', 'first']);
  });

  it('is delivered while earlier messages are unacknowledged, which are not repeated', async () => {
    const world = new Simulation();
    const late = world.published('t', 'late');
    await world.fill('t', 3);
    await world.arrive(world.subscribed('c', 't'));
    await world.arrive(late);
    await world.pass(10_000);
    expect(world.broker.session('c').texts).toEqual(['m0', 'm1', 'm2', 'late']);
  });

  it('is left to EMQX when it was published after the subscription', async () => {
    const world = new Simulation();
    await world.arrive(world.subscribed('c', 't'));
    world.now += 1;
    const live = world.published('t', 'by EMQX itself');
    await world.arrive(live);
    await world.pass(MINUTE);
    expect(world.broker.session('c').texts).toEqual([]);
  });
});

describe('several subscriptions in quick succession (promise 9)', () => {
  const storms: [string, string[], number][] = [
    ['the same filter', ['t', 't', 't'], 0],
    ['overlapping filters', ['t', '#', '+'], 0],
    ['the same filter over 1.9 s', ['t', 't', 't'], 950],
    ['overlapping filters over 1.9 s', ['t', '#', '+'], 950],
  ];
  // `copies` of a message are EMQX's, one for each subscription that overlaps.
  it.each(storms)('send each message once: %s', async (_, filters, gap) => {
    const world = new Simulation();
    const texts = await world.fill('t', 30);
    const client = world.broker.session('c');
    for (const filter of filters) {
      // All subscriptions in one session; the fake broker copies to each, so it is told of one.
      const event = world.subscribed('c', filter);
      client.subscriptions.clear();
      client.subscriptions.set('#', 1);
      await world.arrive(event);
      await world.pass(gap);
    }
    await takeAll(world, client);
    await world.pass(MINUTE);
    expect(client.texts).toEqual(texts);
  });

  it.each(['settle', 'keep'] as const)('send each message once at QoS 0 with qos0 %s', async (qos0) => {
    const world = new Simulation({ qos0 });
    const texts = await world.fill('t', 30);
    const client = world.broker.session('c');
    for (const filter of ['t', '#', 't']) {
      const event = world.subscribed('c', filter, 0);
      client.subscriptions.clear();
      client.subscriptions.set('#', 0);
      await world.arrive(event);
      await world.pass(500);
    }
    await world.pass(MINUTE);
    expect(client.texts).toEqual(texts);
  });

  it('send lost messages again in order when the client reconnected between them', async () => {
    const world = new Simulation({ window: 10 });
    const texts = await world.fill('t', 30);
    await world.arrive(world.subscribed('c', 't'));
    // So that there is room behind what it lost: nothing newer may go there first.
    await world.acknowledge(world.broker.session('c'), 4);
    await world.pass(1_000);
    world.broker.sessions.delete('c');
    const again = world.broker.session('c');
    await world.arrive(world.subscribed('c', 't'));
    await world.pass(2_000);
    await takeAll(world, again);
    expect(again.texts).toEqual(texts.slice(4));
  });
});

describe('a persistent session that resumes', () => {
  /** Ten of thirty were sent; the client was away for a while, EMQX kept them, and delivers them itself. */
  const resumed = async () => {
    const world = new Simulation({ window: 10 });
    const texts = await world.fill('t', 30);
    await world.arrive(world.subscribed('c', 't'));
    await world.pass(5 * MINUTE);
    return { world, texts, client: world.broker.session('c') };
  };
  const finish = async (world: Simulation, client: Session) => {
    await takeAll(world, client);
    await world.pass(MINUTE);
    await takeAll(world, client);
  };

  it('gets the next messages as it acknowledges, without subscribing', async () => {
    const { world, texts, client } = await resumed();
    await takeAll(world, client);
    expect(client.texts).toEqual(texts);
  });

  it('gets each message once when it subscribes after its acknowledgements', async () => {
    const { world, texts, client } = await resumed();
    await world.acknowledge(client, 3);
    await world.pass(100);
    await world.acknowledge(client, 7);
    await world.arrive(world.subscribed('c', 't'));
    await finish(world, client);
    expect(client.texts).toEqual(texts);
  });

  // A client subscribes as soon as it is connected, before it acknowledges. What its session still holds must not be sent again.
  it('gets each message once when it subscribes before its acknowledgements', async () => {
    const { world, texts, client } = await resumed();
    await world.arrive(world.subscribed('c', 't'));
    expect(client.texts).toHaveLength(10);
    await world.pass(300);
    await finish(world, client);
    expect(client.texts).toEqual(texts);
  });

  // A client that acknowledges slowly has lost nothing.
  it('gets each message once when it acknowledges one every 2 s', async () => {
    const { world, texts, client } = await resumed();
    await world.arrive(world.subscribed('c', 't'));
    for (let i = 0; i < 10; i++) {
      await world.pass(1_900);
      await world.acknowledge(client, 1);
    }
    await finish(world, client);
    expect(client.texts).toEqual(texts);
  });

  // The guard is `voided` in losses.ts: with what it had taken for held it would wait until EMQX is asked again.
  it.each([true, false])('is sent lost messages before newer ones (promise 6); connection events: %s', async (tells) => {
    const { world, texts } = await resumed();
    world.tellsConnections = tells;
    world.broker.sessions.delete('c');
    const again = world.broker.session('c');
    await world.arrive(world.subscribed('c', 't'));
    await finish(world, again);
    expect(again.texts).toEqual(texts);
  });

  it('is sent nothing twice when it acknowledges nothing', async () => {
    const { world, client } = await resumed();
    await world.arrive(world.subscribed('c', 't'));
    await world.pass(10 * MINUTE);
    expect(client.texts).toHaveLength(10);
    expect(world.delayed.length).toBeLessThanOrEqual(2);
  });
});

describe('a policy with fetch', () => {
  const subscribe = async (world: Simulation, ms = MINUTE) => {
    await world.arrive(world.subscribed('c', 't'));
    const client = world.broker.session('c');
    for (let passed = 0; passed < ms; passed += 1_000) {
      await takeAll(world, client);
      await world.pass(1_000);
    }
    return client.texts;
  };

  // Without a count over the whole run, every look for late publishes would send as many again.
  it('applies limit to a subscription including its later checks', async () => {
    const world = new Simulation({ fetch: { limit: 10, maxAgeMs: null } });
    const texts = await world.fill('t', 40);
    expect(await subscribe(world)).toEqual(texts.slice(0, 10));
    expect(await subscribe(world)).toEqual(texts.slice(0, 20));
    expect(world.store.messages.size).toBe(20);
  });

  it('applies a limit that is larger than the window', async () => {
    const world = new Simulation({ window: 4, fetch: { limit: 10, maxAgeMs: null } });
    const texts = await world.fill('t', 40);
    expect(await subscribe(world)).toEqual(texts.slice(0, 10));
  });

  // The guard is the count of `unclocked` in Rounds.note().
  it('applies limit at QoS 0', async () => {
    const world = new Simulation({ window: 4, fetch: { limit: 10, maxAgeMs: null } });
    await world.fill('t', 40);
    await world.arrive(world.subscribed('c', 't', 0));
    await world.pass(MINUTE);
    expect(world.broker.session('c').texts).toHaveLength(10);
  });

  it('applies limit once to several subscriptions in quick succession', async () => {
    const world = new Simulation({ fetch: { limit: 10, maxAgeMs: null } });
    const texts = await world.fill('t', 40);
    for (let i = 0; i < 3; i++) {
      await world.arrive(world.subscribed('c', 't'));
      await world.pass(900);
      await takeAll(world, world.broker.session('c'));
    }
    await world.pass(MINUTE);
    expect(world.broker.session('c').texts).toEqual(texts.slice(0, 10));
  });

  it('counts a message once for limit when the client lost it and reconnected', async () => {
    const world = new Simulation({ fetch: { limit: 10, maxAgeMs: null } });
    const texts = await world.fill('t', 40);
    await world.arrive(world.subscribed('c', 't'));
    await world.pass(1_000);
    world.broker.sessions.delete('c');
    expect(await subscribe(world)).toEqual(texts.slice(0, 10));
  });

  it('leaves messages older than maxAge stored', async () => {
    const world = new Simulation({ fetch: { limit: null, maxAgeMs: 60_000 } });
    await world.fill('t', 3, {}, 'old');
    await world.pass(50_000);
    const texts = await world.fill('t', 3);
    await world.pass(20_000);
    expect(await subscribe(world)).toEqual(texts);
    expect(world.store.messages.size).toBe(3);
  });

  // A last will has the id of its client's CONNECT. The guards are isBehind and skipOlder in reader.ts.
  it.each<[string, Partial<ConstructorParameters<typeof Simulation>[0]>]>([
    ['after newer messages', { window: 1 }],
    ['with maxAge, after 3,000 messages that are too old', { fetch: { limit: null, maxAgeMs: 60_000 } }],
  ])('delivers a last will although its id is old: %s', async (_, fields) => {
    const world = new Simulation(fields);
    const id = (n: number) => `${(BigInt(world.now) * 1_000n + BigInt(n)).toString(16).padStart(16, '0').toUpperCase()}F49A0000049C0001`;
    const isOld = fields.fetch !== undefined;
    const stored = (n: number, text: string, publishReceivedAt: number) =>
      message({ topic: 't', id: id(n), payload: Buffer.from(text), publishReceivedAt });
    const old = Array.from({ length: isOld ? 3_000 : 0 }, (_, i) => stored(i, 'old', world.now));
    const [will, own] = [
      stored(4_000, 'will', world.now + 100_000),
      Array.from({ length: 3 }, (_, i) => stored(5_000 + i, `m${i}`, world.now + (isOld ? 100_000 : 1))),
    ];
    await world.store.saveMessages([...old, will, ...own]);
    // Without maxAge the subscription is from before the will, and EMQX delivers that itself.
    await world.pass(isOld ? 100_001 : 1_000);
    expect(await subscribe(world)).toEqual([...(isOld ? ['will'] : []), 'm0', 'm1', 'm2']);
  });

  it('measures maxAge at the time of the subscription, not of later checks', async () => {
    const world = new Simulation({ window: 1, fetch: { limit: null, maxAgeMs: 60_000 } });
    const texts = await world.fill('t', 3);
    await world.pass(55_000);
    await world.arrive(world.subscribed('c', 't'));
    const client = world.broker.session('c');
    await world.pass(20_000);
    await takeAll(world, client);
    expect(client.texts).toEqual(texts);
  });
});
