import fc from 'fast-check';
import type { ConnectedEvent } from '../../src/events/event';
import { AT, fixture, parseEvent, publishBody } from './bodies';

const connected = (more: Record<string, unknown> = {}): ConnectedEvent =>
  parseEvent({ event: 'client.connected', clientid: 'c', connected_at: AT, ...more }) as ConnectedEvent;

describe('the session fields of client.connected', () => {
  test('are unknown when they are absent', () => {
    const unknown = { type: 'connected', clientid: 'c', node: null, at: AT, cleanStart: null, expiryMs: null, sessionOnly: false };
    expect(connected()).toEqual(unknown);
    for (const absent of ['undefined', null])
      expect(connected({ clean_start: absent, expiry_interval: absent, rule_set: absent })).toEqual(unknown);
  });

  test.each([true, false])('have clean_start %j', (clean_start) => {
    expect(connected({ clean_start }).cleanStart).toBe(clean_start);
  });

  test.each([
    [0, 0],
    [1, 1000],
    [7200, 7_200_000],
    [4_294_967_294, 4_294_967_294_000],
    [4_294_967_295, Number.MAX_SAFE_INTEGER],
    // EMQX's own setting for MQTT 3.1.1 may be longer than MQTT 5 can say.
    [9_000_000_000, Number.MAX_SAFE_INTEGER],
  ])('have an expiry_interval of %j s as %j ms', (expiry_interval, expiryMs) => {
    expect(connected({ expiry_interval }).expiryMs).toBe(expiryMs);
    expect(JSON.parse(JSON.stringify(connected({ expiry_interval })))).toMatchObject({ expiryMs });
  });

  test.each([
    ['offline-messages', true],
    ['offline-only', true],
    ['full', false],
    ['client-state', false],
    ['OFFLINE-MESSAGES', false],
    ['my-own', false],
  ])('have rule_set %j as session only %j', (rule_set, sessionOnly) => {
    expect(connected({ rule_set }).sessionOnly).toBe(sessionOnly);
  });

  test('count as those of the rule full without rule_set', () => {
    expect(parseEvent(fixture('client.connected', 'MQTT 5 persistent'))).toMatchObject({
      sessionOnly: false,
      cleanStart: false,
      expiryMs: 300_000,
    });
  });
});

describe('an invalid session field is ignored without losing the event', () => {
  const HOSTILE = [
    '',
    'true',
    '300',
    '4294967295',
    -1,
    1.5,
    1e300,
    -0.5,
    2 ** 53,
    [],
    [true],
    ['offline-messages'],
    {},
    { a: { b: 1 } },
    'a\0',
    '\ud800',
    'x'.repeat(100_000),
  ];

  test.each(HOSTILE.map((value) => [value]))('%j', (value) => {
    const odd = connected({ clean_start: value, expiry_interval: value, rule_set: value });
    expect(odd).toEqual({ type: 'connected', clientid: 'c', node: null, at: AT, cleanStart: null, expiryMs: null, sessionOnly: false });
  });

  test('any JSON value', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), fc.jsonValue(), (clean_start, expiry_interval, rule_set) => {
        const { cleanStart, expiryMs, at } = connected({ clean_start, expiry_interval, rule_set });
        expect([true, false, null]).toContain(cleanStart);
        expect(expiryMs === null || (Number.isSafeInteger(expiryMs) && expiryMs >= 0)).toBe(true);
        expect(at).toBe(AT);
      }),
    );
  });

  test('these columns in other events', () => {
    const columns = {
      rule_set: 'offline-messages',
      clean_start: 'undefined',
      expiry_interval: 'undefined',
      connected_at: 'undefined',
      reason: 'undefined',
    };
    const bodies = [
      ...['message.publish', 'message.acked', 'delivery.dropped'].map((event) => publishBody({ event })),
      { event: 'session.subscribed', clientid: 'c', topic: 't', qos: 1, timestamp: AT },
      { event: 'session.unsubscribed', clientid: 'c', topic: 't', timestamp: AT },
      { event: 'client.disconnected', clientid: 'c', timestamp: AT },
    ];
    for (const body of bodies) {
      expect(parseEvent({ ...body, ...columns })).toEqual(parseEvent(body));
      expect(parseEvent({ ...body, rule_set: { a: [1] }, clean_start: 7, expiry_interval: 'x' })).toEqual(parseEvent(body));
    }
  });
});

// Absent: the rule does not select it, and EMQX is asked before subscriptions are made again.
test.each([
  [{}, undefined],
  [{ mountpoint: 'undefined' }, null],
  [{ mountpoint: null }, null],
  [{ mountpoint: '' }, null],
  [{ mountpoint: 'users/u1/' }, 'users/u1/'],
  [{ mountpoint: 7 }, undefined],
  // The queue on PostgreSQL takes neither. Such an event would be refused for ever, with those that came with it.
  [{ mountpoint: 'users/\0/' }, undefined],
  [{ mountpoint: 'users/\ud83d/' }, undefined],
])('client.connected with %j has the mountpoint %j', (more, mountpoint) => {
  expect(connected(more).mountpoint).toBe(mountpoint);
});
