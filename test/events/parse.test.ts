import fc from 'fast-check';
import { InvalidEventError, parseEvent, readEvent } from '../../src/events';
import { publishBody as written } from '../../src/events/body';
import type { PublishEvent } from '../../src/events/event';
import { metricLabel } from '../../src/events/names';
import { publishBody, without } from './bodies';

const message = (more: Record<string, unknown> = {}) => (parseEvent(publishBody(more)) as PublishEvent).message;

function flaws(body: unknown): string[] {
  try {
    parseEvent(body);
  } catch (error) {
    return (error as InvalidEventError).flaws.map(({ path }) => path);
  }
  return [];
}

describe('the string "undefined" is how EMQX says absent', () => {
  test('for every optional field', () => {
    const keys = ['username', 'flags', 'pub_props', 'payload_base64', 'payload_encoding', 'correlation_data_base64', 'publish_received_at'];
    for (const absent of ['undefined', null]) {
      expect(message(Object.fromEntries(keys.map((key) => [key, absent])))).toEqual({
        ...message(),
        username: null,
        retain: false,
        properties: {},
        publishReceivedAt: 1000,
      });
    }
    expect(parseEvent({ event: 'client.disconnected', clientid: 'c', node: 'undefined', connected_at: 'undefined', timestamp: 5 })).toEqual({
      type: 'disconnected',
      clientid: 'c',
      node: null,
      connectedAt: null,
      at: 5,
    });
  });

  test('but not for what a client chose: its id, topics, payloads, property texts', () => {
    const text = 'undefined';
    expect(
      message({ clientid: text, topic: text, payload: text, pub_props: { 'Content-Type': text, 'Response-Topic': text, 'Correlation-Data': text } }),
    ).toMatchObject({
      clientid: text,
      topic: text,
      payload: Buffer.from(text),
      properties: { contentType: text, responseTopic: text, correlationData: Buffer.from(text).toString('base64') },
    });
  });

  test('and never an id', () => {
    for (const event of ['message.publish', 'message.acked', 'message.delivered', 'delivery.dropped']) {
      expect(flaws(publishBody({ event, id: 'undefined' }))).toEqual(['/id']);
      expect(flaws(without(publishBody({ event }), 'id'))).toEqual(['/id']);
    }
  });
});

describe('payloads (promise 11)', () => {
  test('payload_base64 wins, payload_encoding makes payload base64, empty ones are empty', () => {
    expect(message({ payload: 'text', payload_base64: 'AP8=' }).payload).toEqual(Buffer.from([0, 255]));
    expect(message({ payload: 'AP8=', payload_encoding: 'base64' }).payload).toEqual(Buffer.from([0, 255]));
    expect(message({ payload: '@', payload_encoding: 'base64', payload_base64: 'AP8=' }).payload).toEqual(Buffer.from([0, 255]));
    expect(message({ payload: 'AP8=', payload_encoding: 'plain' }).payload.toString()).toBe('AP8=');
    expect(message({ payload_base64: '' }).payload).toHaveLength(0);
    expect((parseEvent(without(publishBody({ payload_base64: '' }), 'payload')) as PublishEvent).message.payload).toHaveLength(0);
  });

  test('one of both must be there', () => {
    expect(flaws(without(publishBody(), 'payload'))).toEqual(['/payload']);
    expect(flaws(without(publishBody({ payload_base64: 'undefined' }), 'payload'))).toEqual(['/payload']);
  });

  test.each(['AP8', 'AP8==', 'AP_-', 'A', '=', 'AP8= ', 'AP\n8=', 'und=fined', 'AB=='])('%j is not base64', (text) => {
    expect(flaws(publishBody({ payload_base64: text }))).toEqual(['/payload_base64']);
    expect(flaws(publishBody({ correlation_data_base64: text }))).toEqual(['/correlation_data_base64']);
    expect(flaws(publishBody({ payload: text, payload_encoding: 'base64' }))).toEqual(['/payload']);
  });

  test('any bytes come through', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(message({ payload_base64: Buffer.from(bytes).toString('base64') }).payload).toEqual(Buffer.from(bytes));
      }),
    );
  });

  test('text may be anything JSON can say, lone surrogates and U+0000 included', () => {
    expect(message({ payload: 'a\0\ud800' }).payload).toEqual(Buffer.from('a\0\ufffd'));
  });
});

describe('properties (promise 11)', () => {
  const properties = (pub_props: unknown) => message({ pub_props }).properties;

  test('user properties come from the list, or else from the map; what is not text becomes text', () => {
    const map = { a: '1', b: ['x', 'y'], n: 5, t: true };
    expect(properties({ 'User-Property': map }).userProperties).toEqual([
      { key: 'a', value: '1' },
      { key: 'b', value: 'x' },
      { key: 'b', value: 'y' },
      { key: 'n', value: '5' },
      { key: 't', value: 'true' },
    ]);
    expect(properties({ 'User-Property': map, 'User-Property-Pairs': [{ key: 'z', value: '1' }] }).userProperties).toEqual([{ key: 'z', value: '1' }]);
    expect(properties({ 'User-Property': map, 'User-Property-Pairs': 'undefined' }).userProperties).toHaveLength(5);
    expect(properties({ 'User-Property': {} })).toEqual({});
    expect(properties(JSON.parse('{"User-Property":{"__proto__":"p"}}')).userProperties).toEqual([{ key: '__proto__', value: 'p' }]);
  });

  test('correlation_data_base64 wins; an empty one is there', () => {
    const pub_props = { 'Correlation-Data': '\ufffd' };
    expect(message({ pub_props, correlation_data_base64: 'Af8=' }).properties.correlationData).toBe('Af8=');
    expect(message({ pub_props, correlation_data_base64: '' }).properties.correlationData).toBe('');
    expect(message({ pub_props }).properties.correlationData).toBe(Buffer.from('\ufffd').toString('base64'));
  });

  test('promise 12: an expiry interval of 0 and the greatest', () => {
    expect(message({ pub_props: { 'Message-Expiry-Interval': 0 } }).expiresAt).toBe(1000);
    expect(message({ pub_props: { 'Message-Expiry-Interval': 4294967295 } }).expiresAt).toBe(4294967296000);
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

describe('marks', () => {
  const mark = (pairs: unknown, event = 'message.acked') =>
    (parseEvent(publishBody({ event, pub_props: { 'User-Property-Pairs': pairs } })) as { mark?: unknown }).mark;
  const pair = (key: string, value: unknown) => ({ key, value });

  test('the last of each property counts', () => {
    expect(mark([pair('offline-msgid', 'A'), pair('offline-sig', 's'), pair('offline-msgid', 'B'), pair('offline-sig', 't')])).toEqual({
      id: 'B',
      signature: 't',
    });
    expect(mark([pair('offline-sig', 's')])).toBeNull();
  });

  test('a publish keeps the two properties as the publisher sent them', () => {
    const { message: kept, mark: found } = parseEvent(
      publishBody({ pub_props: { 'User-Property': { 'offline-msgid': 'A', 'offline-sig': 's' } } }),
    ) as PublishEvent;
    expect(found).toEqual({ id: 'A', signature: 's' });
    expect(kept.properties.userProperties).toHaveLength(2);
  });

  test('promise 18: what cannot be an id of ours is no mark', () => {
    for (const value of ['', 'a b', 'x'.repeat(65), 'a\0', '\ud800', ['A'], { a: 1 }]) expect(mark([pair('offline-msgid', value)])).toBeNull();
  });

  test('a strange property does not cost us the ack', () => {
    for (const pub_props of ['undefined', null, 5, [], { 'User-Property': 7 }, { 'User-Property-Pairs': [1, null, { key: 'a' }] }]) {
      expect(parseEvent(publishBody({ event: 'message.acked', pub_props }))).toMatchObject({ type: 'acked', mark: null });
    }
  });
});

describe('what is required', () => {
  test.each(['clientid', 'topic', 'qos', 'id'])('message.publish needs %s', (key) => {
    expect(flaws(without(publishBody(), key))).toEqual([`/${key}`]);
  });

  test('a time: publish_received_at, or else timestamp', () => {
    expect(message({ publish_received_at: 7 }).publishReceivedAt).toBe(7);
    expect(flaws(without(publishBody(), 'timestamp'))).toEqual(['/publish_received_at']);
    for (const time of [-1, 1.5, '1000', 1e15]) expect(flaws(publishBody({ timestamp: time }))).toEqual(['/timestamp']);
  });

  test.each([3, -1, '1', 0.5, null])('qos %j is refused', (qos) => {
    for (const event of ['message.publish', 'message.delivered', 'session.subscribed']) expect(flaws(publishBody({ event, qos }))).toContain('/qos');
  });

  test.each(['', 'a b', 'ä', 'x'.repeat(65), 'a\n', 5])('id %j is refused', (id) => {
    expect(flaws(publishBody({ id }))).toEqual(['/id']);
  });

  test.each(['', 'a\0', '\ud800', 'x'.repeat(65_536), 'ä'.repeat(32_768)])('a client id like %j is refused', (clientid) => {
    for (const event of ['message.publish', 'message.acked', 'session.subscribed', 'client.connected']) {
      expect(flaws(publishBody({ event, clientid }))).toEqual(['/clientid']);
    }
  });

  test('promise 11: client ids may hold anything else', () => {
    for (const clientid of ['dev/a+1', '#', ' ', '漢字😀', 'x'.repeat(65_535), '"\\\n']) expect(message({ clientid }).clientid).toBe(clientid);
  });

  test.each(['', '#', 'a/+', 'a#', 'a\0', '\ud800', 'x'.repeat(65_536)])('nothing can be published to %j', (topic) => {
    expect(flaws(publishBody({ topic }))).toEqual(['/topic']);
  });

  test('that a wildcard is the trouble is said', () => {
    expect(() => parseEvent(publishBody({ topic: 'a/#' }))).toThrow(/wildcard/);
  });

  test.each([5, null, 'text', [], undefined])('%j is no event', (body) => {
    expect(() => parseEvent(body)).toThrow(InvalidEventError);
  });
});

describe('other events', () => {
  test('message.dropped is a publish only when nobody was there', () => {
    expect(parseEvent(publishBody({ event: 'message.dropped', reason: 'no_subscribers' }))).toMatchObject({ type: 'publish' });
    expect(parseEvent({ event: 'message.dropped', reason: 'receive_maximum' })).toEqual({ type: 'ignored', event: 'message.dropped' });
    expect(flaws({ event: 'message.dropped', reason: 'no_subscribers' })).toContain('/id');
    expect(flaws({ event: 'message.dropped' })).toEqual(['/reason']);
  });

  test('delivery.dropped comes with its reason', () => {
    const dropped = { type: 'delivery-dropped', id: 'A1', topic: 't/1', clientid: 'pub', mark: null, at: 1000 };
    expect(parseEvent(publishBody({ event: 'delivery.dropped', reason: 'queue_full' }))).toEqual({ ...dropped, reason: 'queue_full' });
    expect(parseEvent(publishBody({ event: 'delivery.dropped' }))).toEqual({ ...dropped, reason: 'unknown' });
  });

  test.each(['client.connack', 'client.ping', 'client.check_acl_complete', 'alarm.activated', 'schema.validation_failed', '$bridges/mqtt:a', '$sources/x/y'])(
    'EMQX has %s: accepted and ignored',
    (event) => expect(parseEvent({ event, anything: 1 })).toEqual({ type: 'ignored', event }),
  );

  test.each(['message.published', '$events/message_acked', 'MESSAGE.PUBLISH', 'constructor', '__proto__', '', 5])('EMQX has no %j', (event) => {
    expect(() => parseEvent({ event })).toThrow(/message\.publish, message\.dropped, .*alarm\.deactivated/);
  });

  test('the path can name the event, but not another one', () => {
    expect(readEvent(without(publishBody(), 'event'), 'message.publish').name).toBe('message.publish');
    expect(readEvent(publishBody({ event: 'undefined' }), 'message.publish').name).toBe('message.publish');
    expect(() => readEvent(publishBody(), 'message.acked')).toThrow(/same as in the path/);
    expect(flaws(without(publishBody(), 'event'))).toEqual(['/event']);
  });

  test('metrics have a bounded number of labels', () => {
    expect(['message.acked', '$bridges/mqtt:a', '$sources/b'].map(metricLabel)).toEqual(['message.acked', '$bridges', '$sources']);
  });
});

test('a message written as an event is read back as it was', () => {
  const body = publishBody({
    payload_base64: 'AP8=',
    username: 'u',
    qos: 2,
    flags: { retain: true },
    correlation_data_base64: 'Af8=',
    pub_props: {
      'Content-Type': 'a/b',
      'Response-Topic': 'r',
      'Payload-Format-Indicator': 0,
      'Message-Expiry-Interval': 5,
      'User-Property-Pairs': [
        { key: 'b', value: '1' },
        { key: 'a', value: '2' },
        { key: 'b', value: '3' },
      ],
    },
  });
  const { message: once } = parseEvent(body) as PublishEvent;
  expect((parseEvent(written(once)) as PublishEvent).message).toEqual(once);
});

test('a hundred thousand malformed user properties are refused quickly', () => {
  const pairs = Array.from({ length: 100_000 }, (_, i) => ({ key: `k${i}\0`, value: 'v' }));
  const start = performance.now();
  expect(flaws(publishBody({ pub_props: { 'User-Property-Pairs': pairs } }))).toHaveLength(100);
  expect(performance.now() - start).toBeLessThan(3000);
});
