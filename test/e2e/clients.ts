import { waitFor } from '../support/wait';
import type { Stage, Suite } from './stage';

interface Client {
  connected: boolean | null;
  node: string | null;
  connected_at: number | null;
  disconnected_at: number | null;
  subscription_count: number;
  subscriptions: { topic: string; qos: number }[];
  delivery: { unacknowledged: number } | null;
}

/** Client state, and the subscriptions that the broker makes. */
export const clients: Suite = {
  name: 'client state and subscriptions',
  policies: [
    { filter: 't/loop/off/#', mode: 'off' },
    { filter: 't/loop/#', deliverTo: 'inbox' },
  ],
  rules: ['full'],
  tests,
};

function tests(stage: Stage): void {
  const path = (clientid: string, rest = '') => `/v1/clients/${encodeURIComponent(clientid)}${rest}`;
  const client = async (clientid: string) => (await (await stage.world.request('GET', path(clientid))).json()) as Client;
  const subscriptions = async (clientid: string) => (await client(clientid)).subscriptions;
  const decide = async (method: 'PUT' | 'DELETE', clientid: string, body?: unknown, query = '') => {
    expect((await stage.world.request(method, path(clientid, `/subscriptions${query}`), body)).status).toBe(202);
    await stage.world.quiet();
  };
  const inBroker = (clientid: string) => [...(stage.world.emqx.broker.sessions.get(clientid)?.subscriptions ?? [])].sort();

  it.each(stage.form === 'short' ? ['dev/a+1'] : ['plain', 'dev/a+1', 'a#%2Fb?', '../c', 'клиент 😀'])(
    'the server keeps state and subscriptions of a client with the id %s',
    async (clientid) => {
      const { world } = stage;
      const subscriber = await world.subscriber(clientid);
      await subscriber.subscribe('t/known/1');
      await subscriber.subscribe('$share/g/t/known/#', 2);
      await world.quiet();
      expect(await client(clientid)).toMatchObject({ clientid, connected: true, node: 'emqx@127.0.0.1', disconnected_at: null });
      await subscriber.disconnect();
      await waitFor('the disconnect', async () => !(await client(clientid)).connected);
      const again = await world.subscriber(clientid);
      await waitFor('the subscriptions', () => inBroker(clientid).length === 2);
      const shared = { topic: '$share/g/t/known/#', qos: 2 };
      expect(inBroker(clientid)).toEqual([
        [shared.topic, 2],
        ['t/known/1', 1],
      ]);
      await world.publish('t/known/1', 'hello');
      await again.receives(1);
      await world.quiet();
      expect(await client(clientid)).toMatchObject({
        connected: true,
        subscription_count: 2,
        subscriptions: [shared, { topic: 't/known/1', qos: 1 }],
        delivery: null,
      });
    },
  );

  if (stage.form === 'short') return;

  // The guard is endsCurrent in presence.ts.
  it('a client that connects twice is shown as connected in any order of events', async () => {
    const { world } = stage;
    const first = await world.subscriber('twice');
    await world.quiet();
    const { connected_at: before } = await client('twice');
    const held = world.emqx.action.hold(({ event }) => event === 'client.disconnected');
    // In another millisecond than the first.
    await waitFor('a millisecond', () => Date.now() > Number(before) + 1);
    await world.subscriber('twice');
    await waitFor('the end of the first', () => held.count() === 1);
    await world.quiet();
    held.release();
    await world.quiet();
    const { connected, connected_at: after, disconnected_at: ended } = await client('twice');
    expect(connected).toBe(true);
    expect(after).toBeGreaterThan(Number(before));
    expect(ended).not.toBeNull();
    await first.client.endAsync(true);
  });

  it('a filter that the client unsubscribed is not restored when it reconnects', async () => {
    const { world } = stage;
    const subscriber = await world.subscriber('leaves');
    await subscriber.subscribe('t/leaves/1');
    await subscriber.subscribe('t/leaves/2');
    await subscriber.client.unsubscribeAsync('t/leaves/1');
    await world.quiet();
    await world.leave(subscriber);
    await world.subscriber('leaves');
    await waitFor('the subscription', () => inBroker('leaves').length === 1);
    await world.quiet();
    expect(inBroker('leaves')).toEqual([['t/leaves/2', 1]]);
  });

  // A subscription that the server makes is not taken for the client's, is made once, and starts a delivery.
  it('promise 8: restoring subscriptions causes no loop and keeps no filter without a policy', async () => {
    const { world } = stage;
    const subscriber = await world.subscriber('loop');
    for (const filter of ['t/loop/1', 't/loop/off/1', 't/loop/off/#', 't/loop/#']) await subscriber.subscribe(filter);
    await world.quiet();
    expect(await subscriptions('loop')).toEqual([
      { topic: 't/loop/#', qos: 1 },
      { topic: 't/loop/1', qos: 1 },
    ]);
    await world.leave(subscriber);
    await world.publish('t/loop/1', 'while away');
    await world.storedCount(1);
    world.emqx.rest.subscribes.length = 0;
    const again = await world.subscriber('loop');
    expect(await again.receives(1)).toEqual(['while away']);
    await world.storedCount(0);
    await world.quiet();
    const made = world.emqx.rest.subscribes.map(({ entries }) => entries.map(({ topic }) => topic));
    expect(made.filter(([first]) => !first?.startsWith('$offline/'))).toEqual([['t/loop/#', 't/loop/1']]);
    expect(again.texts).toEqual(['while away']);
    expect((await subscriptions('loop')).map(({ topic }) => topic)).toEqual(['t/loop/#', 't/loop/1']);
  });

  it('subscriptions that an operator assigns or withdraws take effect at once', async () => {
    const { world } = stage;
    await world.publish('t/decided/now', 'stored before');
    await world.storedCount(1);
    const subscriber = await world.subscriber('decided');
    await subscriber.subscribe('t/decided/old');
    await world.quiet();
    const wanted = { topic: 't/decided/now', qos: 1 };
    await decide('PUT', 'decided', { subscriptions: [wanted, { topic: '$share/g/t/decided/s', qos: 2 }] });
    expect(await subscriber.receives(1)).toEqual(['stored before']);
    await world.storedCount(0);
    await world.quiet();
    expect(inBroker('decided')).toEqual([
      ['$share/g/t/decided/s', 2],
      [wanted.topic, 1],
    ]);
    await decide('DELETE', 'decided', undefined, `?topic=${encodeURIComponent('$share/g/t/decided/s')}`);
    await world.quiet();
    expect([inBroker('decided'), await subscriptions('decided')]).toEqual([[[wanted.topic, 1]], [wanted]]);
  });

  it('a client that disconnects while its subscriptions are restored causes no dead letter', async () => {
    const { world } = stage;
    await decide('PUT', 'gone', { subscriptions: [{ topic: 't/gone', qos: 1 }] });
    let open = (): void => undefined;
    world.emqx.rest.hold = { url: /gone\/subscribe/, until: new Promise<void>((resolve) => (open = resolve)) };
    const quick = await world.subscriber('gone');
    await quick.disconnect();
    await waitFor('the end of its session', () => !world.emqx.broker.sessions.has('gone'));
    open();
    await world.quiet();
    const letters = await (await world.request('GET', '/v1/dead-letters')).text();
    expect(letters).not.toContain('gone');
    expect(await client('gone')).toMatchObject({ connected: false, subscription_count: 1 });
    await world.subscriber('gone');
    await waitFor('the subscription', () => inBroker('gone').length === 1);
  });

  it('GET /v1/clients/{clientid} shows the unacknowledged messages of a running delivery', async () => {
    const { world } = stage;
    for (const text of ['a', 'b']) await world.publish('t/slow', text);
    await world.storedCount(2);
    const slow = await world.subscriber('slow');
    slow.holdAcks();
    await slow.subscribe('t/slow');
    await world.quiet();
    expect((await waitFor('a delivery', async () => (await client('slow')).delivery)).unacknowledged).toBe(2);
  });
}
