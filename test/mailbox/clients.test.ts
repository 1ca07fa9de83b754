import { RetryableError } from '../../src/base/errors';
import type { QoS } from '../../src/mqtt/message';
import type { ClientChange } from '../../src/lanes/jobs';
import { Simulation } from './client-simulation';

/** A number from 0 to below `n`, the same in every run. */
function dice(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

/** A client that was there before: t/1 is stored, and it comes back with a clean session. */
async function back(): Promise<Simulation> {
  const world = new Simulation();
  world.connect();
  world.subscribe('t/1', 1);
  await world.settle();
  world.disconnect();
  await world.settle();
  world.calls.length = 0;
  world.connect();
  return world;
}

const during = (world: Simulation, moment: 'before' | 'after', ...acts: (() => void)[]) => {
  world.meanwhile = (at) => {
    if (at === moment) acts.shift()?.();
  };
};

describe('subscriptions', () => {
  it('are restored once for a client that connects', async () => {
    const world = await back();
    await world.settle();
    expect([world.calls, [...world.broker], [...world.rows]]).toEqual([['+t/1'], [['t/1', 1]], [['t/1', 1]]]);
  });

  it('outlive a disconnect, and are deleted by an unsubscribe', async () => {
    const world = await back();
    await world.settle();
    world.unsubscribe('t/1');
    await world.settle();
    world.connect();
    await world.settle();
    expect([world.calls, world.rows.size, world.broker.size]).toEqual([['+t/1'], 0, 0]);
  });

  it('are not restored for a connection that has ended or is older than the known one', async () => {
    const world = await back();
    world.disconnect();
    await world.settle();
    expect(world.calls).toEqual([]);
    world.connect();
    await world.settle();
    await world.run([{ kind: 'connected', clientid: 'c', node: 'n0', at: 5 }]);
    expect(world.calls).toEqual(['+t/1']);
    expect(world.state).toMatchObject({ connected: true, node: 'n1' });
  });

  it('are restored again when the job is repeated after a crash', async () => {
    const world = await back();
    const job = [...world.queue];
    await world.settle();
    await world.run(job);
    await world.settle();
    expect([world.calls, [...world.rows], [...world.broker]]).toEqual([['+t/1', '+t/1'], [['t/1', 1]], [['t/1', 1]]]);
  });

  it('are not restored when the client has already subscribed again', async () => {
    const world = await back();
    world.subscribe('t/1', 2);
    await world.settle();
    expect([world.calls, [...world.rows]]).toEqual([[], [['t/1', 2]]]);
  });

  it('are not restored when the client has already unsubscribed', async () => {
    const world = await back();
    world.subscribe('t/1', 1);
    world.unsubscribe('t/1');
    await world.settle();
    expect([world.calls, world.rows.size, world.broker.size]).toEqual([[], 0, 0]);
  });

  it('are ended when the client unsubscribes while the server restores them', async () => {
    const world = await back();
    during(world, 'after', () => world.unsubscribe('t/1'));
    await world.settle();
    expect([world.calls, world.rows.size, world.broker.size]).toEqual([['+t/1'], 0, 0]);
  });

  // A persistent session has the subscription before ours is made. The guard is `asked`: without it ours counts as the client's wish.
  it('are removed from EMQX when the client unsubscribed just before the restore', async () => {
    const world = await back();
    world.broker.set('t/1', 1);
    during(world, 'before', () => world.unsubscribe('t/1'));
    await world.settle();
    expect([world.calls, world.rows.size, world.broker.size]).toEqual([['+t/1', '-t/1'], 0, 0]);
  });

  // The guard is afterAsking in Subscriptions.correct: without it our unsubscribe counts as the client's.
  it('stay when the client subscribes again while the server unsubscribes', async () => {
    const world = await back();
    world.broker.set('t/1', 1);
    during(
      world,
      'before',
      () => world.unsubscribe('t/1'),
      () => world.subscribe('t/1', 1),
    );
    await world.settle();
    expect([world.calls, [...world.rows], [...world.broker]]).toEqual([['+t/1', '-t/1', '+t/1'], [['t/1', 1]], [['t/1', 1]]]);
  });

  // Two nodes of EMQX, or a pool without order. The guard is the same.
  it('are ended when the unsubscribe event of the previous connection arrives late', async () => {
    const world = await back();
    const late: ClientChange = { kind: 'unsubscribed', clientid: 'c', filter: 't/1', at: world.time - 2 };
    for (const when of ['before the event of ours', 'after it']) {
      if (when === 'after it') await world.settle();
      else await world.work(1);
      await world.run([late]);
      await world.settle();
      expect([when, world.rows.size, world.broker.size]).toEqual([when, 0, 0]);
    }
  });

  it('keep the QoS that the client chose, although the server subscribed later', async () => {
    const world = await back();
    during(world, 'before', () => world.subscribe('t/1', 0));
    await world.settle();
    expect([[...world.rows], [...world.broker]]).toEqual([[['t/1', 0]], [['t/1', 0]]]);
  });

  // "Unsubscribe, then subscribe" is what some applications do first of all: ours must not cost them their subscription.
  it('stay when the client unsubscribes and subscribes again during the restore', async () => {
    for (const moment of ['before', 'after'] as const) {
      const world = await back();
      world.broker.set('t/1', 1);
      const again = () => {
        world.unsubscribe('t/1');
        world.subscribe('t/1', 1);
      };
      during(world, moment, again, again);
      await world.settle();
      expect([moment, [...world.rows], [...world.broker]]).toEqual([moment, [['t/1', 1]], [['t/1', 1]]]);
    }
  });

  it('that EMQX rejects are reported, and the valid others are restored', async () => {
    const world = new Simulation();
    for (const filter of ['refused', 't/1', '$offline/c/#', '$share/g/$offline/c/#', 'a/#/b', '$share/g/t']) world.rows.set(filter, 1);
    world.connect();
    await world.settle();
    expect([world.calls, world.refused]).toEqual([['+refused', '+t/1', '+$share/g/t'], ['refused']]);
  });
});

describe('subscriptions that an operator assigns', () => {
  const assign = (...topics: [string, QoS][]): ClientChange => ({
    kind: 'assigned',
    clientid: 'c',
    at: 1,
    subscriptions: topics.map(([topic, qos]) => ({ clientid: 'c', topic, qos })),
  });

  it('take effect at once for a connected client, and again when it reconnects', async () => {
    const world = await back();
    world.subscribe('t/2', 1);
    await world.settle();
    await world.run([assign(['t/2', 2], ['t/3', 0])]);
    await world.settle();
    const wanted = [
      ['t/2', 2],
      ['t/3', 0],
    ];
    expect([[...world.rows], [...world.broker]]).toEqual([wanted, wanted]);
    world.connect();
    await world.settle();
    expect([...world.broker]).toEqual(wanted);
  });

  it('are kept for a client that is not connected', async () => {
    const world = new Simulation();
    await world.run([assign(['t/1', 1])]);
    world.connect();
    await world.settle();
    expect([...world.broker]).toEqual([['t/1', 1]]);
  });

  it.each([
    [null, []],
    [['t/1'], [['t/2', 0]]],
    [
      ['absent'],
      [
        ['t/1', 1],
        ['t/2', 0],
      ],
    ],
  ])('are ended by a withdrawal of %j', async (filters, left) => {
    const world = await back();
    world.subscribe('t/2', 0);
    await world.settle();
    await world.run([{ kind: 'withdrawn', clientid: 'c', at: 1, filters }]);
    await world.settle();
    expect([[...world.rows].sort(), [...world.broker].sort()]).toEqual([left, left]);
  });

  // The guard is the order in Subscriptions.remove: with the rows gone first nobody would know what to unsubscribe.
  it('are complete after a crash in the middle of the change', async () => {
    for (const moment of ['before', 'after'] as const) {
      const world = await back();
      await world.settle();
      during(world, moment, () => {
        throw new RetryableError('the process died');
      });
      await world.run([assign(['t/9', 1])]);
      await world.settle();
      expect([moment, [...world.rows], [...world.broker]]).toEqual([moment, [['t/9', 1]], [['t/9', 1]]]);
    }
  });
});

describe('a client’s state', () => {
  // The guard is the greater `at` in Clients.keepStates: Cassandra, for one, tells two states of one time apart by a rank of its own.
  it('is correct when two events have the same time', async () => {
    const world = new Simulation();
    const at = world.time;
    const connected = (time: number): ClientChange => ({ kind: 'connected', clientid: 'c', node: 'n1', at: time });
    const disconnected = (connectedAt: number, time: number): ClientChange => ({
      kind: 'disconnected',
      clientid: 'c',
      node: 'n1',
      connectedAt,
      at: time,
    });
    for (const change of [disconnected(at - 9, at), connected(at - 5), disconnected(at - 5, at), connected(at)]) await world.run([change]);
    expect(world.state).toMatchObject({ connected: true, connectedAt: at, disconnectedAt: at });
    await world.run([disconnected(at, at)]);
    expect(world.state).toMatchObject({ connected: false, connectedAt: at, disconnectedAt: at });
  });
});

describe('a stored time that is far in the future', () => {
  it('does not freeze a client’s state', async () => {
    const world = new Simulation();
    const year2100 = 4_102_444_800_000;
    world.state = { clientid: 'c', connected: true, node: 'n1', connectedAt: year2100, disconnectedAt: null, at: year2100 };
    world.connect();
    world.disconnect();
    await world.settle();
    expect(world.state).toMatchObject({ connected: false, disconnectedAt: world.time });
  });
});

/** The client, our worker, crashes and REST calls in any interleaving; events of one client come in order (pool_type hash). */
describe('subscriptions in any interleaving of client, server and crashes', () => {
  const FILTERS = ['t/1', 't/2', '$share/g/t'];

  it.each(Array.from({ length: 400 }, (_, i) => i + 1))(
    'are the same in store and EMQX, and no subscribe is lost (seed %i)',
    async (seed) => {
      const roll = dice(seed);
      const world = new Simulation();
      const lastWord = new Map<string, string>();
      const act = () => {
        const filter = FILTERS[roll(FILTERS.length)]!;
        const choice = roll(10);
        if (choice === 0) world.disconnect();
        else if (choice <= 2) world.connect();
        else if (world.connectedAt === null) return;
        else if (choice <= 6) {
          world.subscribe(filter, roll(3) as QoS);
          lastWord.set(filter, 'subscribe');
        } else {
          world.unsubscribe(filter);
          lastWord.set(filter, 'unsubscribe');
        }
      };
      world.meanwhile = () => {
        for (let i = roll(3); i > 0; i--) act();
        if (roll(6) === 0) throw new RetryableError('crash, or EMQX is away');
      };
      for (let step = 0; step < 60; step++) {
        if (roll(3) > 0) act();
        else await world.work(1 + roll(3));
      }
      world.meanwhile = () => undefined;
      if (world.connectedAt === null) world.connect();
      await world.settle();
      const sorted = (map: Map<string, QoS>) => [...map].sort();
      expect(sorted(world.rows)).toEqual(sorted(world.broker));
      for (const [filter, word] of lastWord) if (word === 'subscribe') expect([filter, world.broker.has(filter)]).toEqual([filter, true]);
      expect(world.state).toMatchObject({ connected: true, connectedAt: world.connectedAt });
    },
  );
});
