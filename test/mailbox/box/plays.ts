import fc from 'fast-check';
import { World, type Options } from './world';

const MOST_PASSES = 500;

export type Command =
  | { readonly do: 'publish'; readonly topic: string; readonly count: number }
  | { readonly do: 'subscribe' | 'unsubscribe'; readonly filter: string }
  | { readonly do: 'connect'; readonly clean: boolean; readonly expiryMs: number }
  | { readonly do: 'disconnect' | 'continue' }
  | { readonly do: 'ack'; readonly index: number; readonly count: number }
  | { readonly do: 'drop'; readonly index: number; readonly count: number; readonly isTold: boolean; readonly reason: string }
  | { readonly do: 'arrive'; readonly count: number; readonly pick: number; readonly repeat: boolean }
  | { readonly do: 'time'; readonly ms: number }
  | { readonly do: 'work'; readonly left: number; readonly then: 'dies' | 'stands' }
  | { readonly do: 'lose'; readonly on: boolean };

const filter = fc.constantFrom('t/a', 't/+', 'u');
const is = <T extends Command['do']>(name: T): fc.Arbitrary<T> => fc.constant(name);
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ do: is('publish'), topic: fc.constantFrom('t/a', 't/b', 'u'), count: fc.integer({ min: 1, max: 8 }) }),
  },
  { weight: 5, arbitrary: fc.record({ do: is('subscribe'), filter }) },
  { weight: 1, arbitrary: fc.record({ do: is('unsubscribe'), filter }) },
  { weight: 4, arbitrary: fc.record({ do: is('connect'), clean: fc.boolean(), expiryMs: fc.constantFrom(0, 86_400_000) }) },
  { weight: 2, arbitrary: fc.record({ do: is('disconnect') }) },
  { weight: 2, arbitrary: fc.record({ do: is('continue') }) },
  { weight: 6, arbitrary: fc.record({ do: is('ack'), index: fc.nat(3), count: fc.integer({ min: 1, max: 6 }) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: is('drop'),
      index: fc.nat(5),
      count: fc.integer({ min: 1, max: 6 }),
      isTold: fc.boolean(),
      reason: fc.constantFrom('queue_full', 'queue_full', 'expired'),
    }),
  },
  { weight: 5, arbitrary: fc.record({ do: is('arrive'), count: fc.integer({ min: 1, max: 6 }), pick: fc.nat(3), repeat: fc.boolean() }) },
  { weight: 4, arbitrary: fc.record({ do: is('time'), ms: fc.constantFrom(1, 100, 600, 1_100, 2_500, 11_000, 61_000, 400_000) }) },
  {
    weight: 8,
    arbitrary: fc.record({
      do: is('work'),
      left: fc.oneof({ weight: 3, arbitrary: fc.constant(Infinity) }, fc.nat(12)),
      then: fc.constantFrom('dies', 'stands'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: is('lose'), on: fc.boolean() }) },
);

/** Most of them begin with a client that is sent something. */
const begin: fc.Arbitrary<Command[]> = fc.oneof(
  { weight: 1, arbitrary: fc.constant<Command[]>([]) },
  {
    weight: 3,
    arbitrary: fc
      .record({ count: fc.integer({ min: 1, max: 12 }), expiryMs: fc.constantFrom(0, 86_400_000), clean: fc.boolean() })
      .map(({ count, expiryMs, clean }): Command[] => [
        { do: 'connect', clean, expiryMs },
        { do: 'publish', topic: 't/a', count },
        { do: 'publish', topic: 'u', count },
        { do: 'subscribe', filter: 't/+' },
        { do: 'arrive', count: 10, pick: 0, repeat: false },
        { do: 'work', left: Infinity, then: 'dies' },
        { do: 'time', ms: 1_100 },
        { do: 'work', left: Infinity, then: 'dies' },
      ]),
  },
);

export type Scenario = Options & { readonly commands: readonly Command[] };

export const scenario: fc.Arbitrary<Scenario> = fc.record({
  window: fc.constantFrom(1, 3, 10, 100),
  lists: fc.boolean(),
  tellsConnections: fc.boolean(),
  isOrdered: fc.boolean(),
  commands: fc.tuple(begin, fc.array(command, { maxLength: 60, size: 'max' })).map(([first, rest]) => [...first, ...rest]),
});

/** @returns the faults, until the first command after which there are any, or once everything is quiet. */
export function faultsOf({ commands, ...options }: Scenario): readonly string[] {
  const world = new World(options);
  for (const each of commands) {
    play(world, each);
    if (world.faults.length > 0) return world.faults;
  }
  const passes = settle(world);
  const lost = [...world.owed].filter((id) => world.broker.isConnected && !world.isAcknowledged(id));
  return [
    ...world.faults,
    ...lost.map((id) => `${id} never came`),
    ...(passes < MOST_PASSES ? [] : [`it took ${passes} passes until nothing happened`]),
  ];
}

function play(world: World, command: Command): void {
  switch (command.do) {
    case 'publish':
      return world.publishes(command.topic, command.count);
    case 'subscribe':
      return world.subscribe(command.filter);
    case 'unsubscribe':
      return world.unsubscribe(command.filter);
    case 'connect':
      return world.connect(command.clean, command.expiryMs);
    case 'disconnect':
      return world.disconnect();
    case 'continue':
      return world.goOn();
    case 'ack':
      for (let i = 0; i < command.count; i++) world.acknowledge(command.index);
      return;
    case 'drop':
      for (let i = 0; i < command.count; i++) world.drop(command.index, command.reason, command.isTold);
      return;
    case 'arrive':
      return world.arrive(command.count, command.pick, command.repeat);
    case 'time':
      return world.pass(command.ms);
    case 'work':
      return world.work(command.left, command.then);
    case 'lose':
      world.losesAnswers = command.on;
  }
}

/**
 * The client is there and acknowledges; nothing is dropped any more, and every event arrives: how many passes it takes
 * until nothing happens.
 */
function settle(world: World): number {
  world.goOn();
  world.losesAnswers = false;
  if (!world.broker.isConnected && world.broker.session !== null) world.connect(false, 86_400_000);
  // A session that resumes makes no subscriptions: where no rule tells of connections nobody would know of it.
  if (!world.tellsConnections) world.subscribeAgain();
  const before = world.passes;
  for (let i = 0; i < 3_000; i++) {
    while (world.broker.isConnected && world.broker.copies.length > 0) world.acknowledge(0);
    world.arrive(10_000, 0, false);
    world.work();
    if (world.isQuiet && world.broker.copies.length === 0) return world.passes - before;
    if (world.wakes.length > 0) world.pass(Math.max(0, Math.min(...world.wakes) - world.now));
  }
  throw new Error(`it is never quiet: ${world.record.text}`);
}
