import fc from 'fast-check';
import type { Copy } from '../../../src/mailbox/box/mailbox';
import { idAt, NOW, type Loose } from './build';

/** Names as clients choose them. */
const hostile = [
  'constructor',
  '__proto__',
  'toString',
  'hasOwnProperty',
  '',
  '\uD800',
  '\uDC00x',
  '\u0000',
  '"\\',
  'é漢😀',
  'x'.repeat(65_535),
  '$share/g/t',
  '$share//',
  '$queue/t',
  '#',
  '+/+',
  '/',
  '$offline/c/t',
];
const text = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('t/a', 't/+', 'u', 'c') },
  { weight: 1, arbitrary: fc.constantFrom(...hostile) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 8 }) },
);
const filter = fc.oneof({ weight: 8, arbitrary: fc.constantFrom('t/a', 't/+', '#', 'u', '$share/g/t/a') }, { weight: 1, arbitrary: text });
const clientid = fc.oneof({ weight: 8, arbitrary: fc.constant('c') }, { weight: 1, arbitrary: text });
const id = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: 0, max: 30 }).map((n) => idAt(NOW + n * 1_000)) },
  { weight: 1, arbitrary: text },
);
const at = fc.integer({ min: -100_000, max: 1_000_000 }).map((ms) => NOW + ms);
const orNull = <T>(value: fc.Arbitrary<T>) => fc.option(value, { freq: 4 });
const qos = fc.constantFrom(0, 1, 2) as fc.Arbitrary<0 | 1 | 2>;
const is = <T extends string>(kind: T): fc.Arbitrary<T> => fc.constant(kind);

const copies: fc.Arbitrary<[string, Copy][]> = fc.array(
  fc.tuple(id, fc.record({ topic: text, qos, clientid, filter, sentAt: at, emqxId: orNull(id), isMissing: fc.constant(false) })),
  { maxLength: 6 },
);
const cursor = orNull(fc.oneof(fc.constant({ topic: '', id: '' }), fc.record({ topic: text, id })));
const session = fc.record({
  connected: fc.boolean(),
  connectedAt: at,
  createdAt: at,
  persistent: fc.boolean(),
  durable: fc.boolean(),
  queued: fc.nat(5),
  inflight: fc.nat(5),
});
const list = fc.record({
  kind: is('list'),
  messages: fc.array(fc.record({ id, topic: text, from: fc.constantFrom('http_api', 'p') }), { maxLength: 60 }),
  complete: fc.boolean(),
});

/** Anything that a mailbox can learn, in no order that makes sense. */
export const anyFact: fc.Arbitrary<Loose> = fc.oneof(
  fc.record({ kind: is('connected'), at, cleanStart: orNull(fc.boolean()), expiryMs: orNull(fc.constantFrom(0, 60_000)) }),
  fc.record({ kind: is('disconnected'), at, connectedAt: orNull(at) }),
  { weight: 3, arbitrary: fc.record({ kind: is('subscribed'), request: fc.record({ clientid, filter, qos, at }) }) },
  fc.record({ kind: is('unsubscribed'), clientid, filter, at }),
  { weight: 3, arbitrary: fc.record({ kind: is('acked'), id, isCopy: fc.boolean() }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: is('dropped'), id, reason: fc.constantFrom('queue_full', 'expired', '__proto__'), copyId: orNull(id) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: is('asked'),
      session: orNull(session),
      held: orNull(fc.oneof(list, fc.constant({ kind: 'unknown' as const }), fc.constant({ kind: 'no-client' as const }))),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: is('due') }) },
  // Of a process that stood still: the run has changed since.
  fc.record({ kind: is('asked'), at, session: orNull(session), held: orNull(list) }),
  fc.record({ kind: is('gated'), clientid, filter, requestedAt: at, looks: fc.nat(2), tails: fc.constant(null) }),
  fc.record({
    ...{ kind: is('sent'), clientid, filter, requestedAt: at, looks: fc.nat(2), from: cursor, copies, cursor, window: fc.constant(10) },
    ...{ unclocked: fc.nat(3), pauseUntil: orNull(at), isBlocked: fc.boolean(), isOver: fc.boolean(), hasInbox: fc.boolean() },
  }),
  {
    weight: 2,
    arbitrary: fc.record({
      kind: is('gated'),
      clientid,
      filter,
      tails: orNull(fc.dictionary(fc.constantFrom('m0', 'c1', '__proto__'), fc.nat())),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      ...{
        kind: is('sent'),
        clientid,
        filter,
        copies,
        cursor,
        window: orNull(fc.constantFrom(1, 10, 100)),
        unclocked: fc.nat(3),
        pauseUntil: orNull(at),
      },
      ...{ isBlocked: fc.boolean(), isOver: fc.boolean(), hasInbox: fc.boolean() },
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: is('resent'), copies, done: fc.array(id, { maxLength: 3 }), stopped: fc.boolean() }) },
  fc.record({ kind: is('repeated') }),
);

/** What is learnt one after the other, and how much time passes before each (ms). */
export const history = fc.array(fc.record({ fact: anyFact, after: fc.constantFrom(0, 0, 1, 100, 2_000, 11_000, 61_000) }), {
  maxLength: 40,
  size: 'max',
});
