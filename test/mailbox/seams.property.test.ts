import fc from 'fast-check';
import type { OfflineEvent } from '../../src/events/event';
import type { Policy } from '../../src/config/policies';
import { fromWire } from '../../src/mqtt/message';
import { GRACE_MS } from '../../src/mailbox/times';
import { Simulation } from './simulation';
import { Ledger } from './simulation/ledger';

const RUNS = Number(process.env['SEAMS_RUNS'] ?? 300);
/** SEAMS_SEED=random plays other scenarios each time: by hand, with many SEAMS_RUNS. fast-check prints the seed of a failure. */
const SEED = process.env['SEAMS_SEED'] ?? '20261127';
/** Plain subscribers, and two members of a group. */
const FILTERS = { c1: 't/+', c2: 't/a', m1: '$share/g/t/+', m2: '$share/g/t/+' } as const;
type Client = keyof typeof FILTERS;
const CLIENTS = Object.keys(FILTERS) as Client[];
const TOPICS = ['t/a', 't/b'] as const;
/** EMQX posts the events of one publisher in their order. */
const PUBLISHERS = ['p', 'q'] as const;

type Command =
  | { readonly do: 'publish'; readonly topic: string; readonly publisher: string; readonly count: number; readonly late: boolean }
  | { readonly do: 'arrive'; readonly publisher: string }
  | { readonly do: 'tell' | 'settle' }
  | { readonly do: 'subscribe' | 'leave' | 'go' | 'resume' | 'drop'; readonly client: Client }
  | { readonly do: 'ack'; readonly client: Client; readonly from: 'first' | 'last' | 'some'; readonly count: number }
  | { readonly do: 'crash'; readonly left: number; readonly kind: 'died' | 'failed' }
  | { readonly do: 'pass'; readonly ms: number }
  | { readonly do: 'work'; readonly picks: readonly number[] };

const client = fc.constantFrom(...CLIENTS);
const of = <T extends Command['do']>(...names: T[]) => fc.constantFrom(...names);
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: of('publish'),
      topic: fc.constantFrom(...TOPICS),
      publisher: fc.constantFrom(...PUBLISHERS),
      count: fc.integer({ min: 1, max: 12 }),
      late: fc.boolean(),
    }) as fc.Arbitrary<Command>,
  },
  { weight: 4, arbitrary: fc.record({ do: of('subscribe'), client }) as fc.Arbitrary<Command> },
  {
    weight: 6,
    arbitrary: fc.record({
      do: of('ack'),
      client,
      from: fc.constantFrom('first', 'last', 'some'),
      count: fc.integer({ min: 1, max: 6 }),
    }) as fc.Arbitrary<Command>,
  },
  { weight: 2, arbitrary: fc.record({ do: of('tell', 'settle') }) as fc.Arbitrary<Command> },
  { weight: 1, arbitrary: fc.record({ do: of('arrive'), publisher: fc.constantFrom(...PUBLISHERS) }) as fc.Arbitrary<Command> },
  { weight: 3, arbitrary: fc.record({ do: of('leave', 'go', 'resume', 'drop'), client }) as fc.Arbitrary<Command> },
  {
    weight: 3,
    arbitrary: fc.record({ do: of('pass'), ms: fc.constantFrom(1, 100, 1_000, 2_500, 11_000, 61_000) }) as fc.Arbitrary<Command>,
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: of('work'), picks: fc.array(fc.nat(20), { minLength: 1, maxLength: 8 }) }) as fc.Arbitrary<Command>,
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: of('crash'),
      left: fc.nat(40).map((half) => half / 2),
      kind: fc.constantFrom('died', 'failed'),
    }) as fc.Arbitrary<Command>,
  },
);
const scenario = fc.record({
  mode: fc.constantFrom('queue', 'pubsub'),
  window: fc.constantFrom(2, 5, 40),
  tellsConnections: fc.boolean(),
  lists: fc.boolean(),
  commands: fc.array(command, { maxLength: 60, size: 'max' }),
});
type Scenario = typeof scenario extends fc.Arbitrary<infer T> ? T : never;

class Play {
  readonly world: Simulation;
  readonly ledger: Ledger;
  private readonly published: { id: string; topic: string; at: number }[] = [];
  /** Published, and EMQX has not posted it yet. */
  private readonly wires = new Map<string, OfflineEvent[]>();
  /** The clients that subscribed and stayed connected since, with the time of the subscription. */
  private readonly staying = new Map<Client, number>();
  private readonly begun: number;
  private readonly acceptedAt = new Map<string, number>();

  constructor({ mode, window, tellsConnections, lists }: Scenario, fields: Partial<Policy> = {}) {
    this.world = new Simulation({ mode: mode as Policy['mode'], window, deliverTo: 'inbox', ...fields });
    this.world.tellsConnections = tellsConnections;
    this.world.broker.lists = lists;
    this.ledger = new Ledger(this.world);
    this.begun = this.world.now;
  }

  async do(command: Command): Promise<void> {
    const { world } = this;
    switch (command.do) {
      case 'publish':
        return this.publish(command);
      case 'subscribe':
        // What was sent in the same millisecond may be taken for sent after it.
        world.now += 1;
        world.broker.connect(command.client);
        this.staying.set(command.client, world.now);
        this.accept(world.subscribed(command.client, FILTERS[command.client]));
        world.now += 1;
        return;
      case 'leave':
        this.staying.delete(command.client);
        return world.broker.disconnect(command.client, false);
      case 'go':
        this.staying.delete(command.client);
        // A session that was begun a moment ago and is resumed can't be told from a new one (SAME_MOMENT_MS).
        world.now += 1_500;
        return world.broker.disconnect(command.client, true);
      case 'resume':
        if (world.broker.sessions.has(command.client)) world.broker.connect(command.client);
        return;
      case 'ack':
        return this.ack(command);
      case 'drop':
        return this.drop(command.client);
      case 'crash':
        return void Object.assign(world.steps, { left: command.left, kind: command.kind });
      case 'arrive':
        return this.arrive(command.publisher);
      case 'tell':
        return this.accept(...world.broker.events.splice(0));
      case 'settle':
        await world.settle();
        return this.ledger.onSettled();
      case 'pass':
        return world.pass(command.ms);
      case 'work':
        for (const pick of command.picks) await world.work((names) => names[pick % names.length] as string);
    }
  }

  private accept(...events: readonly OfflineEvent[]): void {
    for (const event of events) {
      this.ledger.onEvent(event);
      if (event.type === 'publish') this.acceptedAt.set(event.message.id, this.world.now);
    }
    this.world.accept(...events);
  }

  private arrive(publisher: string): void {
    this.accept(...(this.wires.get(publisher)?.splice(0) ?? []));
  }

  private publish({ topic, publisher, count, late }: Extract<Command, { do: 'publish' }>): void {
    const wire = this.wires.get(publisher) ?? [];
    this.wires.set(publisher, wire);
    for (let i = 0; i < count; i++) {
      const event = this.world.published(topic, '', { clientid: publisher });
      if (event.type !== 'publish') continue;
      this.published.push({ id: event.message.id, topic, at: this.world.now });
      this.world.broker.publishLive(fromWire(event.message));
      wire.push(event);
    }
    if (!late) this.arrive(publisher);
    this.world.now += 1;
  }

  private ack({ client: clientid, from, count }: Extract<Command, { do: 'ack' }>): void {
    const session = this.world.broker.sessions.get(clientid);
    if (session?.isConnected !== true) return;
    const all = session.unacknowledged;
    const some = { first: all.slice(0, count), last: all.slice(-count).reverse(), some: all.filter((_, i) => i % 2 === 1).slice(0, count) };
    this.world.broker.acknowledgeAll(session, some[from]);
  }

  private drop(clientid: Client): void {
    const session = this.world.broker.sessions.get(clientid);
    if (session === undefined || session.unacknowledged.length === 0) return;
    this.ledger.onDrop(this.world.broker.drop(session, 'queue_full'));
  }

  async check(): Promise<void> {
    await this.ledger.checkWindows([...CLIENTS, '$share/g']);
  }

  /** All events arrive, every client comes back and takes what it is sent: then everybody has everything. */
  async end(): Promise<void> {
    const { world } = this;
    world.steps.left = null;
    for (const publisher of PUBLISHERS) this.arrive(publisher);
    for (const name of ['tell', 'settle'] as const) await this.do({ do: name });
    await this.takeWhatComes();
    await world.pass(61_000);
    for (const each of CLIENTS) await this.takeAll(each);
    for (const { id, topic } of this.published) {
      const consumers = world.policies[0]?.mode === 'queue' ? ['everybody'] : ['c1', '$share/g', ...(topic === 't/a' ? ['c2'] : [])];
      for (const each of consumers) if (!this.ledger.isAcked(each, id)) this.ledger.failures.push(`${each} lost ${id}`);
    }
    if (world.policies[0]?.mode === 'queue' && world.store.messages.size > 0)
      this.ledger.failures.push(`${world.store.messages.size} are left`);
    await world.pass(700_000);
    // A wake that was requested in a long pause still comes, after some hours at most. It must be the last one.
    await world.pass(Math.max(0, ...world.delayed.map(({ at }) => at - world.now)));
    if (world.delayed.length > 0) this.ledger.failures.push(`${world.delayed.length} wait for ever`);
  }

  /**
   * Who stays and takes what it is sent gets all that was published before it subscribed, without another subscription,
   * if its event comes within the grace (promise 5). In pubsub mode: in queue mode somebody else may have it in hand.
   * What EMQX drops for longer than five minutes waits for the next subscription.
   */
  private async takeWhatComes(): Promise<void> {
    const { world } = this;
    if (world.policies[0]?.mode === 'queue' || world.now > this.begun + 240_000) return;
    const own = [...this.staying].filter(([clientid]) => FILTERS[clientid] !== FILTERS.m1);
    for (let quiet = 0, rounds = 0; quiet < 10; quiet++) {
      if (++rounds > 500) throw new Error('who stays is sent messages without end');
      const sessions = own.map(([clientid]) => world.broker.session(clientid));
      if (sessions.some(({ unacknowledged }) => unacknowledged.length > 0)) quiet = 0;
      for (const session of sessions) world.broker.acknowledge(session, Infinity);
      await this.do({ do: 'tell' });
      await this.do({ do: 'settle' });
      await world.pass(20_000);
    }
    for (const [clientid, at] of own) {
      const isDue = (each: { id: string; at: number }) =>
        each.at < at && !this.ledger.lostByEmqx.has(each.id) && (this.acceptedAt.get(each.id) ?? Infinity) < at + GRACE_MS;
      const missed = this.published.filter(
        (each) => isDue(each) && (clientid === 'c1' || each.topic === 't/a') && !this.ledger.isAcked(clientid, each.id),
      );
      if (missed.length > 0) this.ledger.failures.push(`${clientid} stayed, and was not sent ${missed.map(({ id }) => id).join()}`);
    }
  }

  private async takeAll(clientid: Client): Promise<void> {
    const { world } = this;
    // A client that is not connected takes nothing.
    for (const each of CLIENTS) world.broker.disconnect(each, false);
    world.broker.connect(clientid);
    await this.do({ do: 'subscribe', client: clientid });
    for (let quiet = 0, rounds = 0; quiet < 6; quiet++) {
      if (++rounds > 500) throw new Error(`${clientid} is sent messages without end`);
      await this.do({ do: 'settle' });
      const session = world.broker.session(clientid);
      if (session.unacknowledged.length > 0) quiet = 0;
      world.broker.acknowledge(session, Infinity);
      await this.do({ do: 'tell' });
      await this.do({ do: 'settle' });
      await world.pass(2_500);
    }
  }
}

async function play(script: Scenario): Promise<string[]> {
  const it = new Play(script);
  for (const each of script.commands) {
    await it.do(each);
    await it.check();
  }
  await it.end();
  return it.ledger.failures;
}

/** A client that comes back at once, with a new session that nobody tells of: its inbox was subscribed to in the old one. */
const QUICKLY_BACK: Scenario = {
  ...{ mode: 'pubsub', window: 2, tellsConnections: false, lists: false },
  commands: [
    { do: 'publish', topic: 't/a', publisher: 'p', count: 1, late: false },
    { do: 'subscribe', client: 'c2' },
    { do: 'settle' },
    { do: 'leave', client: 'c2' },
    { do: 'subscribe', client: 'c2' },
  ],
};

/** EMQX is asked for each of them: the later looks must not become rare from that. */
const FIVE_AT_ONCE: Scenario = {
  ...{ mode: 'queue', window: 2, tellsConnections: false, lists: false },
  commands: [
    { do: 'publish', topic: 't/a', publisher: 'p', count: 1, late: false },
    ...Array.from({ length: 5 }, () => ({ do: 'subscribe', client: 'c2' }) as const),
  ],
};

/** A member acknowledges what it was sent for its group, and subscribes again; the process dies with the acknowledgement in hand. */
const REPEATED_FOR_A_GROUP: Scenario = {
  ...{ mode: 'pubsub', window: 2, tellsConnections: false, lists: false },
  commands: [
    { do: 'subscribe', client: 'c1' },
    { do: 'work', picks: [0] },
    { do: 'publish', topic: 't/a', publisher: 'p', count: 1, late: false },
    { do: 'subscribe', client: 'm2' },
    { do: 'pass', ms: 61_000 },
    { do: 'ack', client: 'm2', from: 'first', count: 1 },
    { do: 'subscribe', client: 'c1' },
    { do: 'crash', left: 10, kind: 'died' },
    { do: 'tell' },
    { do: 'subscribe', client: 'm2' },
    { do: 'settle' },
  ],
};

/** The events of p arrive while the run stands between its two messages. */
const BEHIND_THE_RUN: Scenario = {
  ...{ mode: 'pubsub', window: 2, tellsConnections: false, lists: false },
  commands: [
    { do: 'publish', topic: 't/a', publisher: 'p', count: 1, late: true },
    { do: 'publish', topic: 't/a', publisher: 'q', count: 2, late: false },
    { do: 'publish', topic: 't/a', publisher: 'p', count: 1, late: true },
    { do: 'subscribe', client: 'c1' },
    { do: 'work', picks: [0, 0] },
  ],
};

/** As in QUICKLY_BACK, and EMQX has a message of its own for the new session: it does not show that EMQX lost the copy. */
const QUICKLY_BACK_TO_A_MESSAGE: Scenario = {
  ...{ mode: 'pubsub', window: 2, tellsConnections: false, lists: false },
  commands: [
    { do: 'publish', topic: 't/a', publisher: 'p', count: 1, late: false },
    { do: 'subscribe', client: 'c1' },
    { do: 'settle' },
    { do: 'leave', client: 'c1' },
    { do: 'subscribe', client: 'c1' },
    { do: 'publish', topic: 't/a', publisher: 'p', count: 1, late: false },
  ],
};

/** A member acknowledges what EMQX gave it, while the other one still has the group's copy of it. */
const READ_WHILE_ANOTHER_HAS_IT: Scenario = {
  ...{ mode: 'pubsub', window: 2, tellsConnections: false, lists: false },
  commands: [
    { do: 'subscribe', client: 'm1' },
    { do: 'publish', topic: 't/a', publisher: 'p', count: 3, late: false },
    { do: 'settle' },
    { do: 'subscribe', client: 'm2' },
    { do: 'work', picks: [13, 0] },
    { do: 'ack', client: 'm1', from: 'first', count: 1 },
    { do: 'tell' },
    { do: 'work', picks: [0, 0] },
  ],
};

/** The run of one member sends a message that was stored late and acknowledged before, in the pass in which another member's run begins. */
const STORED_AFTER_ITS_ACKNOWLEDGEMENT: Scenario = {
  ...{ mode: 'pubsub', window: 40, tellsConnections: false, lists: false },
  commands: [
    { do: 'publish', topic: 't/a', publisher: 'p', count: 7, late: false },
    { do: 'subscribe', client: 'm2' },
    ...[9, 4, 1].map((count) => ({ do: 'publish', topic: 't/a', publisher: 'p', count, late: false }) as const),
    { do: 'settle' },
    { do: 'publish', topic: 't/a', publisher: 'p', count: 1, late: true },
    { do: 'subscribe', client: 'm1' },
    { do: 'ack', client: 'm2', from: 'last', count: 1 },
    { do: 'pass', ms: 11_000 },
    { do: 'tell' },
    { do: 'subscribe', client: 'm2' },
  ],
};

/** A client subscribes again after a second, and comes back at once with a new session before EMQX is asked. */
const BACK_BEFORE_THE_ANSWER: Scenario = {
  ...{ mode: 'pubsub', window: 2, tellsConnections: false, lists: false },
  commands: [
    { do: 'publish', topic: 't/a', publisher: 'p', count: 2, late: false },
    { do: 'publish', topic: 't/a', publisher: 'p', count: 1, late: true },
    { do: 'subscribe', client: 'c1' },
    { do: 'work', picks: [0, 0] },
    { do: 'pass', ms: 1_000 },
    { do: 'subscribe', client: 'c1' },
    { do: 'leave', client: 'c1' },
    { do: 'subscribe', client: 'c1' },
  ],
};

/**
 * A member subscribes twice within two seconds. Between that another one acknowledges, and the run of the first
 * subscription still waits.
 */
const ACKNOWLEDGED_IN_A_STORM: Scenario = {
  ...{ mode: 'pubsub', window: 2, tellsConnections: false, lists: false },
  commands: [
    { do: 'subscribe', client: 'm1' },
    { do: 'publish', topic: 't/a', publisher: 'p', count: 1, late: false },
    { do: 'work', picks: [0] },
    { do: 'subscribe', client: 'm2' },
    { do: 'work', picks: [0, 0] },
    { do: 'publish', topic: 't/a', publisher: 'p', count: 1, late: false },
    { do: 'subscribe', client: 'c1' },
    { do: 'ack', client: 'm1', from: 'first', count: 1 },
    { do: 'subscribe', client: 'c1' },
    { do: 'pass', ms: 1 },
    ...(['m2', 'c2'] as const).map((client) => ({ do: 'subscribe', client }) as const),
    { do: 'settle' },
    { do: 'go', client: 'c1' },
    { do: 'tell' },
    { do: 'subscribe', client: 'm2' },
  ],
};

const FOUND = {
  QUICKLY_BACK,
  REPEATED_FOR_A_GROUP,
  FIVE_AT_ONCE,
  QUICKLY_BACK_TO_A_MESSAGE,
  READ_WHILE_ANOTHER_HAS_IT,
  STORED_AFTER_ITS_ACKNOWLEDGEMENT,
  BEHIND_THE_RUN,
  BACK_BEFORE_THE_ANSWER,
  ACKNOWLEDGED_IN_A_STORM,
};

describe('windows, drops, positions and groups in any order of events', () => {
  it('lose nothing, repeat nothing acknowledged, and keep order and window', async () => {
    await fc.assert(
      fc.asyncProperty(scenario, async (script) => {
        expect(await play(script)).toEqual([]);
      }),
      {
        numRuns: RUNS,
        seed: SEED === 'random' ? Date.now() % 2 ** 31 : Number(SEED),
      },
    );
  });

  it.each(Object.entries(FOUND))('lose nothing and repeat nothing acknowledged in %s', async (_, script) => {
    expect(await play(script)).toEqual([]);
  });
});
