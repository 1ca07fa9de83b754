import type { PublishEvent } from '../../src/events/event';
import { AT, flaws, parseEvent, publishBody } from './bodies';

const message = (more: Record<string, unknown> = {}) => (parseEvent(publishBody(more)) as PublishEvent).message;

describe('properties (promise 11)', () => {
  const properties = (pub_props: unknown) => message({ pub_props }).properties;

  test('user properties are read from the list or the map, as text', () => {
    const map = { a: '1', b: ['x', 'y'], n: 5, t: true };
    expect(properties({ 'User-Property': map }).userProperties).toEqual([
      { key: 'a', value: '1' },
      { key: 'b', value: 'x' },
      { key: 'b', value: 'y' },
      { key: 'n', value: '5' },
      { key: 't', value: 'true' },
    ]);
    expect(properties({ 'User-Property': map, 'User-Property-Pairs': [{ key: 'z', value: '1' }] }).userProperties).toEqual([
      { key: 'z', value: '1' },
    ]);
    expect(properties({ 'User-Property': map, 'User-Property-Pairs': 'undefined' }).userProperties).toHaveLength(5);
    expect(properties({ 'User-Property': {} })).toEqual({});
    expect(properties(JSON.parse('{"User-Property":{"__proto__":"p"}}')).userProperties).toEqual([{ key: '__proto__', value: 'p' }]);
  });

  test('correlation_data_base64 takes precedence, even when it is empty', () => {
    const pub_props = { 'Correlation-Data': '\ufffd' };
    expect(message({ pub_props, correlation_data_base64: 'Af8=' }).properties.correlationData).toBe('Af8=');
    expect(message({ pub_props, correlation_data_base64: '' }).properties.correlationData).toBe('');
    expect(message({ pub_props }).properties.correlationData).toBe(Buffer.from('\ufffd').toString('base64'));
  });

  test('promise 12: an expiry interval of 0 and the greatest', () => {
    expect(message({ pub_props: { 'Message-Expiry-Interval': 0 } }).expiresAt).toBe(AT);
    expect(message({ pub_props: { 'Message-Expiry-Interval': 4294967295 } }).expiresAt).toBe(AT + 4294967295000);
  });

  test.each([
    [{ 'Message-Expiry-Interval': -1 }, '/pub_props/Message-Expiry-Interval'],
    [{ 'Message-Expiry-Interval': 4294967296 }, '/pub_props/Message-Expiry-Interval'],
    [{ 'Message-Expiry-Interval': '7' }, '/pub_props/Message-Expiry-Interval'],
    [{ 'Payload-Format-Indicator': 2 }, '/pub_props/Payload-Format-Indicator'],
    [{ 'Content-Type': 'a\0' }, '/pub_props/Content-Type'],
    [{ 'Response-Topic': '\udc00' }, '/pub_props/Response-Topic'],
    [{ 'User-Property': { a: 'x\0' } }, '/pub_props/User-Property'],
    [{ 'User-Property': { '\ud800': 'x' } }, '/pub_props/User-Property'],
    [{ 'User-Property-Pairs': [{ key: 'a\0', value: 'x' }] }, '/pub_props/User-Property-Pairs/0/key'],
    [{ 'User-Property-Pairs': [{ key: 'a' }] }, '/pub_props/User-Property-Pairs/0/value'],
    ['text', '/pub_props'],
  ])('%j is refused', (pub_props, path) => {
    expect(flaws(publishBody({ pub_props }))).toEqual([path]);
  });
});

describe("the server's marks in an event", () => {
  const mark = (pairs: unknown, event = 'message.acked') =>
    (parseEvent(publishBody({ event, pub_props: { 'User-Property-Pairs': pairs } })) as { mark?: unknown }).mark;
  const pair = (key: string, value: unknown) => ({ key, value });

  test('use the last value of each property', () => {
    expect(mark([pair('offline-msgid', 'A'), pair('offline-sig', 's'), pair('offline-msgid', 'B'), pair('offline-sig', 't')])).toEqual({
      id: 'B',
      signature: 't',
    });
    expect(mark([pair('offline-sig', 's')])).toBeNull();
  });

  test('are also kept as user properties of a publish', () => {
    const { message: kept, mark: found } = parseEvent(
      publishBody({ pub_props: { 'User-Property': { 'offline-msgid': 'A', 'offline-sig': 's' } } }),
    ) as PublishEvent;
    expect(found).toEqual({ id: 'A', signature: 's' });
    expect(kept.properties.userProperties).toHaveLength(2);
  });

  test('promise 18: are ignored when their id is invalid', () => {
    for (const value of ['', 'a b', 'x'.repeat(65), 'a\0', '\ud800', ['A'], { a: 1 }])
      expect(mark([pair('offline-msgid', value)])).toBeNull();
  });

  test('do not cost an acknowledgement when its properties are malformed', () => {
    for (const pub_props of ['undefined', null, 5, [], { 'User-Property': 7 }, { 'User-Property-Pairs': [1, null, { key: 'a' }] }]) {
      expect(parseEvent(publishBody({ event: 'message.acked', pub_props }))).toMatchObject({ type: 'acked', mark: null });
    }
  });
});

test('100,000 malformed user properties are rejected quickly', () => {
  const pairs = Array.from({ length: 100_000 }, (_, i) => ({ key: `k${i}\0`, value: 'v' }));
  const start = performance.now();
  expect(flaws(publishBody({ pub_props: { 'User-Property-Pairs': pairs } }))).toHaveLength(100);
  expect(performance.now() - start).toBeLessThan(3000);
});
