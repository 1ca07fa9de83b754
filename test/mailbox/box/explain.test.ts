import { explain, filtersOf, type Known } from '../../../src/mailbox/box/explain';
import { emptyMailbox, START, type Mailbox } from '../../../src/mailbox/box/mailbox';
import { step } from '../../../src/mailbox/box/step';
import { at, counted, lasting, listed } from '../../../src/mailbox/box/wording';
import { policy } from '../../support/policies';
import { connected, copy, disconnected, dropped, factNow, gated, NOW, sent, subscribed, told, unsubscribed, type Loose } from './build';

/** 2027-01-15 08:00:00 UTC. */
const after = (ms: number): number => NOW + ms;

function played(...facts: readonly (Loose | [number, Loose])[]): Mailbox {
  return facts.reduce<Mailbox>((mailbox, each) => {
    const [ms, fact] = Array.isArray(each) ? each : [0, each];
    return step(mailbox, factNow(mailbox, fact, after(ms)), after(ms)).mailbox;
  }, emptyMailbox('c'));
}

function explained(mailbox: Mailbox | null, fields: Partial<Known> = {}, now = after(12_000)): string[] {
  const known: Known = {
    ...{ mailbox, state: null, subscriptions: [], stored: new Map(), setAside: [], policies: [policy({})] },
    ...{ delivers: true, isEmqxAway: false },
    ...fields,
  };
  return explain(known, now).map(({ level, text }) => `${level}: ${text}`);
}

/** Connected with a new session, and subscribed to t/a at once. */
const begun = () => played(connected(NOW, true, 0), subscribed(), gated());
const copies = (count: number): string[] => Array.from({ length: count }, (_, i) => `M${String(i).padStart(3, '0')}`);

test('the explanation without any state of the client', () => {
  expect(explained(null)).toEqual([
    'info: No event has told the server whether the client is connected. EMQX is asked when a delivery depends on it.',
    'info: The server has no delivery state of the client: it has not subscribed within the last 60 min.',
  ]);
});

test('the explanation when EMQX_API_KEY is not set', () => {
  expect(explained(begun(), { delivers: false })[0]).toBe(
    'problem: EMQX_API_KEY and EMQX_API_SECRET are not set: the server stores messages and cannot deliver any.',
  );
});

test("the explanation when EMQX's REST API does not answer", () => {
  expect(explained(begun(), { isEmqxAway: true })[0]).toMatch(/^problem: EMQX's REST API \(EMQX_URL\) does not answer/);
});

test('the explanation of a client that is not connected', () => {
  const state = { connected: false, node: 'n', connectedAt: NOW - 60_000, disconnectedAt: NOW };
  const text = 'The server sends stored messages when the client connects and subscribes.';
  expect(explained(null, { state })[0]).toBe(`waiting: The client is not connected since 08:00:00 UTC. ${text}`);
  const away = explained(played(connected(), subscribed(), disconnected(after(1))), { stored: new Map([['t/a', true]]) });
  expect(away).toContain(`waiting: The client is not connected. ${text}`);
  expect(away).toContain('info: Messages are stored for t/a.');
});

test('the explanation of a connected client without a subscription', () => {
  const state = { connected: true, node: 'emqx@1', connectedAt: NOW, disconnectedAt: null };
  const lines = explained(played(connected()), { state });
  expect(lines[0]).toBe('ok: The client is connected to emqx@1 since 08:00:00 UTC.');
  expect(lines[1]).toMatch(/^waiting: The server has seen no subscription since it connected at 08:00:00 UTC/);
  expect(explained(played(connected()), { subscriptions: [{ topic: 'a' }] })).toContain(
    'info: Stored subscriptions: a. With the rule set client-state or full in EMQX, the server makes them again when the client connects.',
  );
});

test('the explanation after an unsubscribe', () => {
  expect(explained(played(connected(), subscribed(), unsubscribed(after(1))))).toContain('info: The client has unsubscribed from t/a.');
});

test('the explanation of a complete delivery before its later check', () => {
  const mailbox = played(connected(NOW, true, 0), subscribed(), gated(), sent(['A']));
  expect(explained(mailbox, {}, after(5_000))).toEqual([
    'ok: The client is connected since 08:00:00 UTC.',
    'ok: The server has seen subscriptions of the client to t/a.',
    'ok: The server has read everything that is stored for t/a, and has sent 1 message. It looks once more at 08:00:10 UTC for messages that arrive late.',
    'waiting: 1 message was sent and is not acknowledged, the oldest since 5 s.',
  ]);
});

test('the explanation of a full window', () => {
  const lines = explained(
    played(connected(NOW, true, 0), subscribed(), gated(), sent(copies(100), { cursor: { topic: 't/a', id: 'M099' } })),
  );
  expect(lines).toContain('waiting: 100 messages were sent and are not acknowledged, the oldest since 12 s.');
  expect(lines).toContain(
    'waiting: More is stored for t/a. The window (100 messages) is full: the server sends the next messages when at most 50 are unacknowledged.',
  );
});

test('the explanation of a delivery that is reading, or that waits for other clients', () => {
  const cursor = { topic: 't/a', id: 'M001' };
  const reading = played(connected(NOW, true, 0), subscribed(), gated(), sent(['M001'], { cursor }));
  expect(explained(reading)).toContain(
    'waiting: The server reads what is stored for t/a and has sent 1 message so far. The server has come to topic t/a.',
  );
  const blocked = played(connected(NOW, true, 0), subscribed(), gated(), sent([], { cursor, isBlocked: true }));
  expect(explained(blocked).join()).toContain('Some messages are being sent to another subscriber at the moment');
});

test('the explanation of a delivery that waits for writes', () => {
  expect(explained(played(connected(NOW, true, 0), subscribed()))).toContain(
    'waiting: The delivery for t/a waits until events that arrived before the subscription are stored.',
  );
  const tails: Loose = { kind: 'gated', clientid: 'c', filter: 't/a', tails: { 'messages-0': 7 } };
  expect(explained(played(connected(NOW, true, 0), subscribed(), tails))).toContain(
    'waiting: The delivery for t/a waits until events that arrived before the subscription are stored (messages-0).',
  );
});

test('the explanation when EMQX is asked and holds messages of its own', () => {
  const asking = played(connected(NOW, false, 3_600_000), subscribed());
  expect(explained(asking)).toContain('waiting: The server asks EMQX what it holds for the client before it sends anything.');
  const lines = explained(played(connected(NOW, false, 3_600_000), subscribed(), told(['X', 'Y'])), {}, after(500));
  expect(lines).toContain(
    "info: EMQX holds 2 messages in the client's session and delivers them itself; the server does not send them as well.",
  );
  expect(lines.join()).toMatch(/sends nothing until 08:00:01 UTC because acknowledgements may still be on their way/);
});

test('the explanation of a durable session', () => {
  expect(explained(played(connected(NOW, false, 3_600_000), subscribed(), told([], { durable: true }))).join()).toContain(
    "EMQX keeps the client's session on disk and reports no acknowledgements",
  );
});

test('the explanation of a client without acknowledgements: a problem after five minutes', () => {
  const silent: Mailbox = { ...begun(), runs: [], out: new Map([['A', copy('A')]]), asks: 3, askedAt: after(200_000), askAt: null };
  const early = explained(silent, {}, after(240_000)).find((line) => line.includes('acknowledged nothing'));
  expect(early).toMatch(
    /^waiting: The client has acknowledged nothing for 4 min\. The server has asked EMQX 3 times .* The next check is at 08:\d\d:\d\d UTC\.$/,
  );
  expect(explained(silent, {}, after(300_000)).join()).toContain('problem: The client has acknowledged nothing for 5 min.');
});

test('the explanation of copies that EMQX lost or dropped', () => {
  const one = (fields: Parameters<typeof copy>[1]) =>
    explained({ ...begun(), askedAt: after(1_000), out: new Map([['A', copy('A', fields)]]) });
  expect(one({ isMissing: true }).join()).toContain('EMQX did not have 1 sent message when it was asked at 08:00:01 UTC.');
  expect(one({ emqxId: null }).join()).toContain("EMQX's answer about 1 message was lost.");
  const lines = explained(played(connected(NOW, true, 0), subscribed(), gated(), sent(['A']), dropped('A')), {}, after(1_000));
  expect(lines.join()).toMatch(/EMQX dropped or lost 1 message that was sent\. The server sends it again at 08:00:10 UTC \(attempt 1\)/);
});

test('the explanation of a paused delivery', () => {
  const paused = played(connected(NOW, true, 0), subscribed(), gated(), sent([], { cursor: START, pauseUntil: after(20_000) }));
  expect(explained(paused).join()).toContain('The delivery is paused until 08:00:20 UTC');
  expect(explained(paused, {}, after(21_000)).join()).not.toContain('paused');
});

test.each(['settle', 'keep', 'skip'] as const)('the explanation of a QoS 0 subscription with qos0 %s', (qos0) => {
  const lines = explained(played(connected(NOW, true, 0), subscribed({ qos: 0 })), { policies: [policy({ qos0 })] });
  expect(lines.filter((line) => line.startsWith('info: t/a is subscribed at QoS 0.'))).toEqual([expect.stringContaining(`qos0: ${qos0}`)]);
});

test('the explanation of a shared group in pubsub mode', () => {
  const mailbox = played(connected(NOW, true, 0), subscribed({ filter: '$share/g/t' }));
  expect(explained(mailbox, { policies: [policy({ mode: 'pubsub' })] }).join()).toContain(
    'The group of $share/g/t shares one read position',
  );
  expect(explained(mailbox).join()).not.toContain('read position');
});

test('the explanation says whether the store has messages', () => {
  const mailbox = played(connected(NOW, true, 0), subscribed(), gated(), sent([]));
  expect(explained(mailbox, { stored: new Map([['t/a', false]]) })).toContain('ok: Nothing is stored for t/a.');
  expect(explained(mailbox, { stored: new Map([['t/a', true]]) }).join()).toContain(
    'info: The store has messages for t/a. EMQX itself delivers',
  );
});

test('the explanation of a dead letter includes its reason', () => {
  const setAside = [{ id: '42', reason: 'EMQX refused it', at: after(1_000) }];
  expect(explained(null, { setAside }).at(-1)).toBe(
    'problem: The server gave up at 08:00:01 UTC after errors: EMQX refused it (dead letter 42).',
  );
});

test('the filters of a client are those of its present subscriptions', () => {
  expect(filtersOf(played(connected(), subscribed()), [{ topic: 'x' }])).toEqual(['t/a', 'x']);
  expect(filtersOf(played(connected(), subscribed(), unsubscribed(after(1))), [])).toEqual([]);
  expect(filtersOf(played(connected(), subscribed(), unsubscribed(after(1)), subscribed({ at: after(5_000) })), [])).toEqual(['t/a']);
  expect(filtersOf(null, [])).toEqual([]);
});

test("the explanation's formats of times, numbers and lists", () => {
  expect([at(NOW, NOW), at(NOW - 86_400_000, NOW), at(NaN, NOW)]).toEqual(['08:00:00 UTC', '2027-01-14 08:00:00 UTC', 'an unknown time']);
  expect([-1, 12_000, 180_000, 7_200_000, 345_600_000].map(lasting)).toEqual(['0 s', '12 s', '3 min', '2 h', '4 days']);
  expect([counted(1, 'time'), counted(2, 'time')]).toEqual(['1 time', '2 times']);
  expect([[], ['a'], ['a', 'b'], ['a', 'b', 'c'], [...'abcdefg']].map(listed)).toEqual([
    '',
    'a',
    'a and b',
    'a, b and c',
    'a, b, c, d, e and 2 more',
  ]);
});
