import { RetryableError } from '../../src/base/errors';
import type { ClientChange } from '../../src/lanes/jobs';
import { Clients } from '../../src/mailbox/clients/clients';
import { Subscriptions } from '../../src/mailbox/clients/subscriptions';
import { MemoryStore } from '../support/memory-store';
import { Simulation } from './client-simulation';
import { MemoryState } from './simulation/state';

const connected = (fields: object = {}): ClientChange => ({
  kind: 'connected',
  clientid: 'c',
  node: 'n1',
  at: 1_000_500,
  cleanStart: true,
  expiryMs: 0,
  ...fields,
});
/** As the rules `offline-messages` and `offline-only` tell: they select no node. */
const session = (fields: object = {}): ClientChange => connected({ node: null, sessionOnly: true, ...fields });

// Promise 19. The guard is the filter in Clients.apply: whoever had only the rule offline-messages got subscriptions that nobody had asked for.
describe('a connection event of the rules offline-messages and offline-only', () => {
  it('stores no client state and restores no subscriptions', async () => {
    const world = new Simulation();
    world.rows.set('t/1', 1);
    world.connectedAt = 1_000_500;
    await world.run([session()]);
    expect([world.state, world.calls]).toEqual([null, []]);
    // As any other rule tells of it, both happen.
    await world.run([connected()]);
    expect([world.state?.connected, world.calls]).toEqual([true, ['+t/1']]);
  });

  it('leaves a stored client state unchanged', async () => {
    const world = new Simulation();
    await world.run([connected()]);
    const { state } = world;
    await world.run([session({ at: 1_000_900 })]);
    expect(world.state).toEqual(state);
  });

  it.each([
    ['before', [session(), connected()]],
    ['after', [connected(), session()]],
    ['before, in a job of its own,', [session()], [connected()]],
    ['after, in a job of its own,', [connected()], [session()]],
  ])("%s another rule's event of the same connection keeps the node", async (_, ...jobs) => {
    const world = new Simulation();
    world.rows.set('t/1', 1);
    world.connectedAt = 1_000_500;
    for (const job of jobs) await world.run(job as ClientChange[]);
    expect(world.state).toMatchObject({ connected: true, node: 'n1', connectedAt: 1_000_500 });
    expect(world.calls).toEqual(['+t/1']);
  });
});

/** The changes of many clients in one job. */
describe('changes of several clients in one job', () => {
  function subject() {
    let writes = 0;
    const store = new MemoryStore();
    const poisoned = new Set<string>();
    const put = store.putSubscriptions.bind(store);
    store.putSubscriptions = async (all) => {
      writes++;
      if (all.some(({ clientid }) => poisoned.has(clientid))) throw new RetryableError('the store does not like one of them');
      return put(all);
    };
    const now = (): number => 5_000;
    const deps = { store: store.asStore(), state: new MemoryState(now), emqx: null, setAside: async () => undefined, now };
    const clients = new Clients({ ...deps, subscriptions: new Subscriptions(deps) });
    return {
      store,
      clients,
      poisoned,
      writes: () => writes,
      rows: () => store.subscriptions.map(({ clientid, topic }) => `${clientid} ${topic}`).sort(),
    };
  }
  const subscribed = (clientid: string, filter = 't', at = 1_000): ClientChange => ({ kind: 'subscribed', clientid, filter, qos: 1, at });

  it('are stored with one write of subscriptions', async () => {
    const { clients, writes, rows } = subject();
    expect(await clients.apply(['a', 'b', 'c'].flatMap((each) => [subscribed(each), subscribed(each, 'u')]))).toEqual(new Map());
    expect([writes(), rows()]).toEqual([1, ['a t', 'a u', 'b t', 'b u', 'c t', 'c u']]);
  });

  // Promise 20. The guard is keepPlain's answer in Clients.apply: all three failed, and were tried again, for one of them.
  it('fail separately: the subscriptions of the other clients are stored', async () => {
    const { clients, poisoned, rows } = subject();
    poisoned.add('b');
    const failed = await clients.apply([subscribed('a'), subscribed('b'), subscribed('c')]);
    expect([[...failed.keys()], rows()]).toEqual([['b'], ['a t', 'c t']]);
    poisoned.clear();
    expect(await clients.apply([subscribed('b')])).toEqual(new Map());
    expect(rows()).toEqual(['a t', 'b t', 'c t']);
  });

  it('are applied in the order of each client: subscribe, unsubscribe, subscribe', async () => {
    const { clients, rows } = subject();
    const left = (clientid: string, at: number): ClientChange => ({ kind: 'unsubscribed', clientid, filter: 't', at });
    await clients.apply([subscribed('a', 't', 1), subscribed('b', 't', 1), left('a', 2), left('b', 2), subscribed('b', 't', 3)]);
    expect(rows()).toEqual(['b t']);
  });
});
