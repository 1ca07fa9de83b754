import type { Command, Scenario } from './plays';

/** Scenarios that random runs found, and that are played in each run since. */

const publish = (topic: string, count: number): Command => ({ do: 'publish', topic, count });
const subscribe = (filter: string): Command => ({ do: 'subscribe', filter });
const unsubscribe = (filter: string): Command => ({ do: 'unsubscribe', filter });
const time = (ms: number): Command => ({ do: 'time', ms });
const ack = (count: number): Command => ({ do: 'ack', index: 0, count });
const drop = (isTold: boolean, reason = 'queue_full'): Command => ({ do: 'drop', index: 0, count: 1, isTold, reason });
const arrive = (count: number, pick = 0, repeat = false): Command => ({ do: 'arrive', count, pick, repeat });
const connect = (clean = false): Command => ({ do: 'connect', clean, expiryMs: 0 });
const work: Command = { do: 'work', left: Infinity, then: 'dies' };
const stopsAfter = (left: number, then: 'dies' | 'stands'): Command => ({ do: 'work', left, then });

/** A client in a new session that is sent a message of t/a. */
const begin = [connect(), publish('t/a', 1), publish('u', 1), subscribe('t/+'), arrive(10), work, time(1_100), work];
const options = { window: 1, lists: true, tellsConnections: false, isOrdered: true };

export const FOUND: readonly (readonly [string, Scenario])[] = [
  [
    'the only place of the window is taken by a message of EMQX before the run has read anything, and the server stood still for long',
    {
      ...options,
      commands: [
        ...begin,
        connect(),
        subscribe('t/a'),
        publish('t/a', 1),
        arrive(1),
        work,
        time(11_000),
        stopsAfter(2, 'dies'),
        time(400_000),
        work,
      ],
    },
  ],
  [
    'nobody tells of a new session, in which the client subscribes, unsubscribes, acknowledges what it got and subscribes again',
    {
      ...{ ...options, window: 100 },
      commands: [...begin, connect(), subscribe('u'), publish('u', 3), unsubscribe('u'), ack(3), subscribe('u'), arrive(5, 3), work],
    },
  ],
  [
    'a process finds nobody in a session, stands still, and goes on after the client has subscribed in the next session',
    {
      ...{ ...options, lists: false, tellsConnections: true, isOrdered: false },
      commands: [
        ...[connect(), publish('t/a', 2), publish('u', 2), subscribe('t/+'), arrive(10), work, time(1_100), work],
        ...[connect(true), subscribe('u'), arrive(2, 1), { do: 'disconnect' } as const, stopsAfter(3, 'stands')],
        ...[connect(), subscribe('u'), arrive(2, 2), work],
      ],
    },
  ],
  [
    'a subscription arrives after its unsubscribe and the next subscription',
    {
      ...{ ...options, lists: false, isOrdered: false },
      commands: [...begin, subscribe('u'), unsubscribe('u'), publish('u', 1), arrive(1, 1), subscribe('u'), arrive(1, 1)],
    },
  ],
  [
    'an unsubscribe arrives twice after the next subscription, and EMQX loses a copy',
    {
      ...{ window: 100, lists: false, tellsConnections: true, isOrdered: false },
      commands: [...begin, publish('t/a', 1), unsubscribe('t/+'), drop(false), subscribe('t/+'), arrive(2, 1, true), work],
    },
  ],
  [
    'EMQX answers that it does not know the client, and the process stands still until the client has come back',
    {
      ...{ ...options, tellsConnections: true },
      commands: [
        ...[connect(), publish('t/a', 2), subscribe('t/+'), arrive(10), { do: 'disconnect' } as const, stopsAfter(1, 'stands')],
        ...[connect(), subscribe('t/+'), arrive(10), work, { do: 'continue' } as const],
      ],
    },
  ],
  [
    'nobody tells of a new session, in which the client subscribes twice, with a message of EMQX between, within 2 s of the old one',
    {
      ...options,
      commands: [
        ...[connect(), publish('t/a', 1), subscribe('t/a'), arrive(10), work, ack(1), arrive(10), work],
        ...[connect(), subscribe('t/a'), publish('t/a', 1), ack(1), subscribe('t/a'), arrive(1), arrive(1, 1), work],
      ],
    },
  ],
  [
    'EMQX answers that it holds nothing, and the process stands still until its successor has sent something',
    {
      ...{ ...options, tellsConnections: true },
      commands: [
        ...[connect(), publish('t/a', 2), subscribe('t/+'), arrive(10), stopsAfter(1, 'stands'), work],
        ...[{ do: 'continue' } as const, time(1_100), work],
      ],
    },
  ],
  [
    'nobody tells of a new session, in which the client subscribes twice and whose connection is resumed within 50 ms',
    {
      ...{ ...options, window: 100 },
      commands: [
        ...begin,
        ...[
          { do: 'connect', clean: false, expiryMs: 86_400_000 } as const,
          subscribe('t/+'),
          arrive(1),
          publish('t/a', 1),
          subscribe('t/+'),
        ],
        ...[arrive(1), ack(1), connect(), work],
      ],
    },
  ],
  [
    'a process stands still after it has loaded the mailbox, until the claims of its successor have ended',
    {
      ...options,
      commands: [
        ...[...begin, ack(1), subscribe('u'), arrive(2), stopsAfter(0, 'stands'), work],
        ...[time(61_000), { do: 'continue' } as const],
      ],
    },
  ],
  [
    // The model of EMQX was wrong about these two, not the mailbox.
    'a connection begins in a storm of subscriptions, and EMQX loses a message that was published in it',
    {
      ...{ ...options, lists: false, isOrdered: false },
      commands: [
        ...[{ do: 'connect', clean: false, expiryMs: 86_400_000 } as const, ...begin.slice(1)],
        ...[subscribe('t/+'), connect(), arrive(1), work, subscribe('t/+'), time(1_100), publish('t/a', 1), drop(false), drop(false)],
      ],
    },
  ],
  [
    'a process stands still after it has published, and its successor knows nothing of that',
    {
      ...options,
      commands: [
        connect(),
        publish('t/a', 2),
        subscribe('t/+'),
        arrive(10),
        work,
        ack(1),
        time(2_500),
        stopsAfter(3, 'stands'),
        time(400_000),
        work,
      ],
    },
  ],
  [
    'the answer to a repeated subscription shows a session that began after it, and more than a second after the first subscription',
    {
      ...{ ...options, tellsConnections: true },
      commands: [
        ...[connect(), publish('t/a', 2), subscribe('t/+'), arrive(10), work, time(1_100), work],
        ...[subscribe('t/+'), subscribe('t/a'), arrive(2), connect(), stopsAfter(2, 'dies')],
      ],
    },
  ],
  [
    'a message is sent after the client came back with a new session and before the server knows, and EMQX loses it',
    {
      ...{ ...options, window: 3, tellsConnections: true },
      commands: [
        ...[connect(), publish('t/a', 4), publish('u', 4), subscribe('t/+'), arrive(10), work, time(1_100), work],
        ...[ack(2), arrive(2), connect(), work, subscribe('t/a'), drop(false)],
      ],
    },
  ],
  [
    'the same happens, and the new session is resumed before the server knows of it',
    {
      ...{ ...options, window: 3, tellsConnections: true },
      commands: [
        ...[connect(), publish('t/a', 4), publish('u', 4), subscribe('t/+'), arrive(10), work, time(1_100), work],
        ...[ack(2), arrive(2), { do: 'connect', clean: false, expiryMs: 86_400_000 } as const, work, subscribe('t/a'), drop(false)],
        ...[time(100), { do: 'connect', clean: false, expiryMs: 86_400_000 } as const],
      ],
    },
  ],
  [
    'the same happens, and EMQX tells that it dropped the message',
    {
      ...{ ...options, window: 3, tellsConnections: true },
      commands: [
        ...[connect(), publish('t/a', 4), publish('u', 4), subscribe('t/+'), arrive(10), work, time(1_100), work],
        ...[ack(2), arrive(2), { do: 'connect', clean: false, expiryMs: 86_400_000 } as const, work, subscribe('t/a')],
        ...[{ do: 'disconnect' } as const, time(2_500), drop(true)],
      ],
    },
  ],
  [
    'the same happens, and the client has subscribed to the same filter again',
    {
      ...{ ...options, window: 3, tellsConnections: true },
      commands: [
        ...[connect(), publish('t/a', 4), publish('u', 4), subscribe('t/+'), arrive(10), work, time(1_100), work],
        ...[ack(2), arrive(2), { do: 'connect', clean: false, expiryMs: 86_400_000 } as const, work, subscribe('t/+')],
        ...[{ do: 'disconnect' } as const, time(2_500), drop(true)],
      ],
    },
  ],
  [
    'a new session is resumed within 50 ms, and the client subscribes to the same filter in both connections',
    {
      ...{ ...options, tellsConnections: true },
      commands: [
        ...[...begin, { do: 'connect', clean: false, expiryMs: 86_400_000 } as const, subscribe('u'), connect(), arrive(5), work],
        ...[ack(1), publish('u', 1), subscribe('u'), arrive(2), work],
      ],
    },
  ],
];
