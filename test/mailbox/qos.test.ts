import { Simulation } from './simulation';

const MINUTE = 60_000;

describe('a delivery uses the lower QoS (promise 16)', () => {
  const cases = ([0, 1, 2] as const).flatMap((qos) => ([0, 1, 2] as const).map((subscription) => [qos, subscription] as const));

  it.each(cases)('of message QoS %i and subscription QoS %i', async (qos, subscription) => {
    for (const deliverTo of ['topic', 'inbox'] as const) {
      const world = new Simulation({ storeQos0: true, deliverTo });
      await world.fill('t', 3, { qos });
      const client = world.broker.session('c');
      await world.arrive(world.subscribed('c', 't', subscription));
      expect(client.texts).toEqual(['m0', 'm1', 'm2']);
      expect(client.delivered.map((copy) => copy.qos)).toEqual(Array(3).fill(Math.min(qos, subscription)));
      expect(client.delivered.map(({ delivery }) => delivery.topic)).toEqual(Array(3).fill(deliverTo === 'inbox' ? '$offline/c/t' : 't'));
      await world.acknowledge(client, 3);
      expect(world.store.messages.size).toBe(0);
      await world.pass(MINUTE);
      expect(client.texts).toHaveLength(3);
    }
  });
});

describe('a QoS 0 subscriber', () => {
  const subscribed = async (qos0: 'settle' | 'keep' | 'skip') => {
    const world = new Simulation({ qos0 });
    const texts = await world.fill('t', 250);
    await world.arrive(world.subscribed('c', 't', 0));
    return { world, texts, client: world.broker.session('c') };
  };

  it('with qos0 settle is sent each message once, which removes it', async () => {
    const { world, texts, client } = await subscribed('settle');
    await world.pass(MINUTE);
    expect(client.texts).toEqual(texts);
    expect(world.store.messages.size).toBe(0);
  });

  // The look after 10 s must not send all of it again.
  it('with qos0 keep is sent each message once per subscription, and all stay stored', async () => {
    const { world, texts, client } = await subscribed('keep');
    const late = { ...world.published('t', 'late') };
    if (late.type !== 'publish') throw new Error('no publish');
    const at = world.now - 2;
    await world.arrive({ ...late, message: { ...late.message, id: `0${late.message.id.slice(1)}`, publishReceivedAt: at } });
    await world.pass(5 * MINUTE);
    expect(client.texts).toHaveLength(251);
    expect([...client.texts].sort()).toEqual([...texts, 'late'].sort());
    expect(world.store.messages.size).toBe(251);
    expect(world.delayed).toEqual([]);
  });

  it.each([3_000, 8_000, 20_000])('with qos0 keep is sent all messages again when it resubscribes after %i ms', async (ms) => {
    const { world, texts, client } = await subscribed('keep');
    await world.pass(ms);
    await world.arrive(world.subscribed('c', 't', 0));
    await world.pass(MINUTE);
    expect(client.texts).toEqual([...texts, ...texts]);
  });

  it('with qos0 keep leaves the messages to a QoS 1 client, which removes them', async () => {
    const { world, texts } = await subscribed('keep');
    await world.pass(MINUTE);
    world.broker.sessions.delete('c');
    const other = world.broker.session('other');
    await world.arrive(world.subscribed('other', 't', 1));
    while (other.unacknowledged.length > 0) await world.acknowledge(other, 100);
    expect(other.texts).toEqual(texts);
    expect(world.store.messages.size).toBe(0);
  });

  it('with qos0 skip is sent nothing, and the messages stay stored', async () => {
    const { world, client } = await subscribed('skip');
    await world.pass(MINUTE);
    expect(client.texts).toEqual([]);
    expect(world.store.messages.size).toBe(250);
  });

  it('is sent messages at QoS 1 for a second filter that has QoS 1', async () => {
    const world = new Simulation({ qos0: 'skip' });
    await world.fill('t', 3);
    await world.arrive(world.subscribed('c', 't', 0), world.subscribed('c', '#', 1));
    await world.pass(1_000);
    await world.acknowledge(world.broker.session('c'), 3);
    expect(world.store.messages.size).toBe(0);
  });
});

/** For an EMQX that reports no acknowledgements: a message is settled when EMQX has taken it. */
describe('a policy with settle: delivered', () => {
  const subject = async (fields: ConstructorParameters<typeof Simulation>[0] = {}) => {
    const world = new Simulation({ settle: 'delivered', ...fields });
    const texts = await world.fill('t', 250);
    await world.arrive(world.subscribed('c', 't', 1));
    return { world, texts, client: world.broker.session('c') };
  };

  // The guards: fateOf in parcel.ts, without which 100 come and the run waits, and in settling.ts.
  it('sends each message once and removes it without an acknowledgement', async () => {
    const { world, texts, client } = await subject();
    await world.pass(MINUTE);
    expect(client.texts).toEqual(texts);
    expect(new Set(client.delivered.map(({ qos }) => qos))).toEqual(new Set([1]));
    expect([world.store.messages.size, world.delayed]).toEqual([0, []]);
    await world.arrive(world.subscribed('c', 't', 1));
    await world.pass(MINUTE);
    expect(client.texts).toHaveLength(250);
  });

  it("sends messages in batches, so that EMQX's session queue does not overflow", async () => {
    const { world, client } = await subject();
    expect(client.texts.length).toBeLessThanOrEqual(100);
    await world.pass(100);
    expect(client.texts.length).toBeLessThanOrEqual(200);
  });

  it('ignores acknowledgements that EMQX reports nevertheless', async () => {
    const { world, texts, client } = await subject();
    await world.acknowledge(client, 50);
    await world.pass(MINUTE);
    expect(client.texts).toEqual(texts);
    expect(world.store.messages.size).toBe(0);
  });

  it('applies qos0 to QoS 0 subscriptions', async () => {
    const world = new Simulation({ settle: 'delivered', qos0: 'keep' });
    await world.fill('t', 3);
    const client = world.broker.session('c');
    await world.arrive(world.subscribed('c', 't', 0));
    await world.pass(MINUTE);
    expect([client.texts.length, world.store.messages.size]).toEqual([3, 3]);
  });
});
