import { randomUUID } from 'node:crypto';
import { temporaryDirectory } from '../support/temp';
import { waitFor } from '../support/wait';
import { World, type WorldOptions } from './world';

interface Client {
  connected: boolean | null;
  node: string | null;
  connected_at: number | null;
  disconnected_at: number | null;
  subscription_count: number;
  subscriptions: { topic: string; qos: number }[];
  delivery: { unacknowledged: number } | null;
}

/** Client state and subscriptions with real MQTT clients, on the embedded default. */
describe('clients', () => {
  const directory = temporaryDirectory();
  let world: World;
  const start = async (options: WorldOptions = {}) => {
    world = await World.start({ rules: ['full'], ...options, env: { DATA_DIR: directory.path, ...options.env } });
    await fetch(`${world.server.url}/v1/messages?filter=%23`, { method: 'DELETE' });
  };
  afterEach(async () => {
    expect(world.emqx.actions.flatMap(({ lost }) => lost)).toEqual([]);
    await world.stop();
  });
  afterAll(() => directory.remove());

  const url = (clientid: string, rest = '') => `${world.server.url}/v1/clients/${encodeURIComponent(clientid)}${rest}`;
  const client = async (clientid: string) => (await (await fetch(url(clientid))).json()) as Client;
  const subscriptions = async (clientid: string) => (await client(clientid)).subscriptions ?? [];
  const decide = async (method: 'PUT' | 'DELETE', clientid: string, body?: unknown, query = '') => {
    const init = body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
    const answer = await fetch(url(clientid, `/subscriptions${query}`), { method, ...init });
    expect(answer.status).toBe(202);
    await world.quiet();
  };
  const inBroker = (clientid: string) => [...(world.emqx.broker.sessions.get(clientid)?.subscriptions ?? [])].sort();

  it.each(['plain', 'dev/a+1', 'a#%2Fb?', '../c', 'клиент 😀'])('are known by any client id: %s', async (clientid) => {
    await start();
    const subscriber = await world.subscriber(clientid);
    await subscriber.subscribe('t/1');
    await subscriber.subscribe('$share/g/t/#', 2);
    await world.quiet();
    expect(await client(clientid)).toMatchObject({ clientid, connected: true, node: 'emqx@127.0.0.1', disconnected_at: null });
    await subscriber.disconnect();
    await waitFor('the disconnect', async () => !(await client(clientid)).connected);
    const again = await world.subscriber(clientid);
    await waitFor('the subscriptions', () => inBroker(clientid).length === 2);
    expect(inBroker(clientid)).toEqual([['$share/g/t/#', 2], ['t/1', 1]]);
    await world.publish('t/1', 'hello');
    await again.receives(1);
    await world.quiet();
    expect(await client(clientid)).toMatchObject({ connected: true, subscription_count: 2, subscriptions: [{ topic: '$share/g/t/#', qos: 2 }, { topic: 't/1', qos: 1 }], delivery: null });
  });

  // The guard is endsCurrent in presence.ts.
  it('that connect twice are connected, whichever event comes last', async () => {
    await start();
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

  it('that unsubscribe stay so', async () => {
    await start();
    const subscriber = await world.subscriber('leaves');
    await subscriber.subscribe('t/1');
    await subscriber.subscribe('t/2');
    await subscriber.client.unsubscribeAsync('t/1');
    await world.quiet();
    await subscriber.disconnect();
    await world.quiet();
    await world.subscriber('leaves');
    await waitFor('the subscription', () => inBroker('leaves').length === 1);
    await world.quiet();
    expect(inBroker('leaves')).toEqual([['t/2', 1]]);
  });

  // Promise 8: what we make ourselves is no wish, is made once, and fetches what is stored.
  it('cause no loop, and no row for a filter that no policy keeps', async () => {
    const POLICIES = JSON.stringify([{ filter: 't/off/#', mode: 'off' }, { filter: 't/#', deliverTo: 'inbox' }]);
    await start({ env: { POLICIES } });
    const clientid = `inbox-${randomUUID()}`;
    const subscriber = await world.subscriber(clientid);
    for (const filter of ['t/1', 't/off/1', 't/off/#', 'u/#', '#']) await subscriber.subscribe(filter);
    await world.quiet();
    expect(await subscriptions(clientid)).toEqual([{ topic: '#', qos: 1 }, { topic: 't/1', qos: 1 }]);
    await subscriber.disconnect();
    await world.publish('t/1', 'while away');
    await world.storedCount(1);
    world.emqx.rest.subscribes.length = 0;
    const again = await world.subscriber(clientid);
    expect(await again.receives(1)).toEqual(['while away']);
    await world.storedCount(0);
    await world.quiet();
    const made = world.emqx.rest.subscribes.map(({ entries }) => entries.map(({ topic }) => topic));
    expect(made.filter(([first]) => !first?.startsWith('$offline/'))).toEqual([['#', 't/1']]);
    expect(again.texts).toEqual(['while away']);
    expect((await subscriptions(clientid)).map(({ topic }) => topic)).toEqual(['#', 't/1']);
  });

  it('have at once what an operator decides, and what is stored for it', async () => {
    await start();
    await world.publish('t/now', 'stored before');
    await world.storedCount(1);
    const subscriber = await world.subscriber('decided');
    await subscriber.subscribe('t/old');
    await world.quiet();
    await decide('PUT', 'decided', { subscriptions: [{ topic: 't/now', qos: 1 }, { topic: '$share/g/t/s', qos: 2 }] });
    expect(await subscriber.receives(1)).toEqual(['stored before']);
    await world.storedCount(0);
    await world.quiet();
    expect(inBroker('decided')).toEqual([['$share/g/t/s', 2], ['t/now', 1]]);
    await decide('DELETE', 'decided', undefined, `?topic=${encodeURIComponent('$share/g/t/s')}`);
    await world.quiet();
    expect([inBroker('decided'), await subscriptions('decided')]).toEqual([[['t/now', 1]], [{ topic: 't/now', qos: 1 }]]);
  });

  it('that went while theirs were being made are no error; the next one gets them', async () => {
    await start();
    await decide('PUT', 'gone', { subscriptions: [{ topic: 't/gone', qos: 1 }] });
    let open = (): void => undefined;
    world.emqx.rest.hold = { url: /gone\/subscribe/, until: new Promise<void>((resolve) => (open = resolve)) };
    const quick = await world.subscriber('gone');
    await quick.disconnect();
    await waitFor('the end of its session', () => !world.emqx.broker.sessions.has('gone'));
    open();
    await world.quiet();
    const letters = (await (await fetch(`${world.server.url}/v1/dead-letters`)).json()) as { letters: unknown[] };
    expect(letters.letters).toEqual([]);
    expect(await client('gone')).toMatchObject({ connected: false, subscription_count: 1 });
    await world.subscriber('gone');
    await waitFor('the subscription', () => inBroker('gone').length === 1);
  });

  it('with a delivery in progress say so', async () => {
    await start();
    for (const text of ['a', 'b']) await world.publish('t/slow', text);
    await world.storedCount(2);
    const slow = await world.subscriber('slow');
    slow.client.handleMessage = () => undefined;
    await slow.subscribe('t/slow');
    expect((await waitFor('a delivery', async () => (await client('slow')).delivery)).unacknowledged).toBe(2);
  });

  it('with more subscriptions than a bulk takes get them all', async () => {
    await start();
    const wanted = Array.from({ length: 510 }, (_, i) => ({ topic: `many/${String(i).padStart(5, '0')}`, qos: 1 }));
    await decide('PUT', 'many', { subscriptions: wanted });
    // An event each, one after the other, would take this test longer than all that it is about.
    world.emqx.action.hold(({ event }) => event.startsWith('session.'));
    await world.subscriber('many');
    await waitFor('the subscriptions', () => inBroker('many').length === wanted.length);
    expect(world.emqx.rest.subscribes.map(({ entries }) => entries.length)).toEqual([500, 10]);
    await world.quiet();
    const listed: unknown[] = [];
    for (let next: string | null = ''; next !== null; ) {
      const page: { subscriptions: unknown[]; next: string | null } = await (await fetch(url('many', `/subscriptions?limit=400${next === '' ? '' : `&after=${next}`}`))).json() as never;
      listed.push(...page.subscriptions);
      next = page.next;
    }
    expect(listed).toEqual(wanted);
    await decide('DELETE', 'many');
    await waitFor('the end of them', () => inBroker('many').length === 0);
    await world.quiet();
    expect((await client('many')).subscription_count).toBe(0);
  }, 60_000);
});
