import fc from 'fast-check';
import { InvalidEventError, readEvent } from '../../src/events';
import { publishBody as written } from '../../src/dead-letters/publish-body';
import type { PublishEvent } from '../../src/events/event';
import { fromWire } from '../../src/mqtt/message';
import { metricLabel } from '../../src/events/names';
import { AT, flaws, parseEvent, publishBody, without } from './bodies';

const message = (more: Record<string, unknown> = {}) => fromWire((parseEvent(publishBody(more)) as PublishEvent).message);

describe('the string "undefined" in an event of EMQX', () => {
  test('means an absent value in every optional field', () => {
    const keys = ['username', 'flags', 'pub_props', 'payload_base64', 'payload_encoding', 'correlation_data_base64', 'publish_received_at'];
    for (const absent of ['undefined', null]) {
      expect(message(Object.fromEntries(keys.map((key) => [key, absent])))).toEqual({
        ...message(),
        username: null,
        retain: false,
        properties: {},
        publishReceivedAt: AT,
      });
    }
    expect(
      parseEvent({ event: 'client.disconnected', clientid: 'c', node: 'undefined', connected_at: 'undefined', timestamp: AT }),
    ).toEqual({
      type: 'disconnected',
      clientid: 'c',
      node: null,
      connectedAt: null,
      at: AT,
    });
  });

  test('is kept in client ids, topics, payloads and property texts', () => {
    const text = 'undefined';
    expect(
      message({
        clientid: text,
        topic: text,
        payload: text,
        pub_props: { 'Content-Type': text, 'Response-Topic': text, 'Correlation-Data': text },
      }),
    ).toMatchObject({
      clientid: text,
      topic: text,
      payload: Buffer.from(text),
      properties: { contentType: text, responseTopic: text, correlationData: Buffer.from(text).toString('base64') },
    });
  });

  test('is rejected as the id of a publish', () => {
    expect(flaws(publishBody({ id: 'undefined' }))).toEqual(['/id']);
    expect(flaws(without(publishBody(), 'id'))).toEqual(['/id']);
  });

  // Durable sessions: EMQX gives an empty id, and in some versions an empty topic.
  test('and other lost ids of a delivery mean an absent id', () => {
    for (const event of ['message.acked', 'message.delivered', 'delivery.dropped']) {
      for (const id of ['', 'undefined', null, 5, 'a b'])
        expect(parseEvent(publishBody({ event, id }))).toMatchObject({ id: null, topic: 't/1' });
      expect(parseEvent(without(publishBody({ event, topic: '' }), 'id'))).toMatchObject({ id: null, topic: '' });
      expect(flaws(without(publishBody({ event }), 'topic'))).toEqual(['/topic']);
    }
  });
});

describe('payloads (promise 11)', () => {
  test('payload_base64 takes precedence, and payload_encoding marks base64', () => {
    expect(message({ payload: 'text', payload_base64: 'AP8=' }).payload).toEqual(Buffer.from([0, 255]));
    expect(message({ payload: 'AP8=', payload_encoding: 'base64' }).payload).toEqual(Buffer.from([0, 255]));
    expect(message({ payload: '@', payload_encoding: 'base64', payload_base64: 'AP8=' }).payload).toEqual(Buffer.from([0, 255]));
    expect(message({ payload: 'AP8=', payload_encoding: 'plain' }).payload.toString()).toBe('AP8=');
    expect(message({ payload_base64: '' }).payload).toHaveLength(0);
    expect((parseEvent(without(publishBody({ payload_base64: '' }), 'payload')) as PublishEvent).message.payload).toHaveLength(0);
  });

  test('one of payload and payload_base64 is required', () => {
    expect(flaws(without(publishBody(), 'payload'))).toEqual(['/payload']);
    expect(flaws(without(publishBody({ payload_base64: 'undefined' }), 'payload'))).toEqual(['/payload']);
  });

  test.each(['AP8', 'AP8==', 'AP_-', 'A', '=', 'AP8= ', 'AP\n8=', 'und=fined', 'AB=='])('%j is rejected as base64', (text) => {
    expect(flaws(publishBody({ payload_base64: text }))).toEqual(['/payload_base64']);
    expect(flaws(publishBody({ correlation_data_base64: text }))).toEqual(['/correlation_data_base64']);
    expect(flaws(publishBody({ payload: text, payload_encoding: 'base64' }))).toEqual(['/payload']);
  });

  test('any bytes are read unchanged', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(message({ payload_base64: Buffer.from(bytes).toString('base64') }).payload).toEqual(Buffer.from(bytes));
      }),
    );
  });

  test('text can contain anything, even lone surrogates and U+0000', () => {
    expect(message({ payload: 'a\0\ud800' }).payload).toEqual(Buffer.from('a\0\ufffd'));
  });
});

describe('required fields of an event', () => {
  test.each(['clientid', 'topic', 'qos', 'id'])('message.publish needs %s', (key) => {
    expect(flaws(without(publishBody(), key))).toEqual([`/${key}`]);
  });

  test('message.publish needs publish_received_at or timestamp', () => {
    expect(message({ publish_received_at: AT - 7 }).publishReceivedAt).toBe(AT - 7);
    expect(flaws(without(publishBody(), 'timestamp'))).toEqual(['/publish_received_at']);
    for (const time of [-1, AT + 0.5, String(AT), 1e15]) expect(flaws(publishBody({ timestamp: time }))).toEqual(['/timestamp']);
  });

  // The guard is Time's minimum: a message of seconds was one of January 1970, and over its ttl before it was stored.
  test.each([0, 1, 1000, 1_795_228_477, 17_952_284_778, 179_522_847_783, 999_999_999_999])('%d is rejected as a time in ms', (time) => {
    expect(() => parseEvent(publishBody({ timestamp: time }))).toThrow(/timestamp must be in ms since 1970/);
    for (const event of [
      'message.acked',
      'delivery.dropped',
      'session.subscribed',
      'session.unsubscribed',
      'client.connected',
      'client.disconnected',
    ]) {
      expect(flaws(publishBody({ event, timestamp: time }))).toEqual(['/timestamp']);
    }
    for (const name of ['connected_at', 'disconnected_at'])
      expect(flaws(publishBody({ event: 'client.disconnected', [name]: time }))).toEqual([`/${name}`]);
    expect(flaws(publishBody({ publish_received_at: time }))).toEqual(['/publish_received_at']);
  });

  // Measured: $delayed/... has the publish_received_at of its publish, and the timestamp of when it is due.
  test('the time of a delayed message is when EMQX publishes it', () => {
    const pub_props = { 'Message-Expiry-Interval': 60 };
    expect(message({ publish_received_at: AT - 691_200_000, pub_props })).toMatchObject({ publishReceivedAt: AT, expiresAt: AT + 60_000 });
    expect(message({ publish_received_at: AT - 1_000, pub_props })).toMatchObject({
      publishReceivedAt: AT - 1_000,
      expiresAt: AT + 59_000,
    });
    expect(message({ publish_received_at: AT + 5_000 }).publishReceivedAt).toBe(AT + 5_000);
  });

  test.each([3, -1, '1', 0.5, null])('the QoS %j is rejected', (qos) => {
    for (const event of ['message.publish', 'message.delivered']) expect(flaws(publishBody({ event, qos }))).toContain('/qos');
  });

  test.each([
    [3, 2],
    [-1, 0],
    [128, 2],
    [1, 1],
  ])('of a subscription QoS %j counts as %j', (qos, clamped) => {
    expect(parseEvent({ event: 'session.subscribed', clientid: 'c', topic: 't', timestamp: AT, qos })).toMatchObject({
      type: 'subscribed',
      qos: clamped,
    });
    for (const wrong of ['1', 0.5, null])
      expect(flaws({ event: 'session.subscribed', clientid: 'c', topic: 't', timestamp: AT, qos: wrong })).toEqual(['/qos']);
  });

  test.each(['', 'a b', 'ä', 'x'.repeat(65), 'a\n', 5])('the id %j is rejected', (id) => {
    expect(flaws(publishBody({ id }))).toEqual(['/id']);
  });

  test.each(['', 'a\0', '\ud800', 'x'.repeat(65_536), 'ä'.repeat(32_768)])('a client id like %j is rejected', (clientid) => {
    for (const event of ['message.publish', 'message.acked', 'session.subscribed', 'client.connected']) {
      expect(flaws(publishBody({ event, clientid }))).toEqual(['/clientid']);
    }
  });

  test('promise 11: client ids can contain anything else', () => {
    for (const clientid of ['dev/a+1', '#', ' ', '漢字😀', 'x'.repeat(65_535), '"\\\n'])
      expect(message({ clientid }).clientid).toBe(clientid);
  });

  test.each(['', '#', 'a/+', 'a#', 'a\0', '\ud800', 'x'.repeat(65_536)])('the topic %j is rejected', (topic) => {
    expect(flaws(publishBody({ topic }))).toEqual(['/topic']);
  });

  test('the error names the wildcard in a topic', () => {
    expect(() => parseEvent(publishBody({ topic: 'a/#' }))).toThrow(/wildcard/);
  });

  test.each([5, null, 'text', [], undefined])('the body %j is rejected', (body) => {
    expect(() => parseEvent(body)).toThrow(InvalidEventError);
  });
});

describe('other events', () => {
  test('message.dropped counts as a publish only with the reason no_subscribers', () => {
    expect(parseEvent(publishBody({ event: 'message.dropped', reason: 'no_subscribers' }))).toMatchObject({ type: 'publish' });
    expect(parseEvent({ event: 'message.dropped', reason: 'receive_maximum' })).toEqual({ type: 'ignored', event: 'message.dropped' });
    expect(flaws({ event: 'message.dropped', reason: 'no_subscribers' })).toContain('/id');
    expect(flaws({ event: 'message.dropped' })).toEqual(['/reason']);
  });

  test('delivery.dropped comes with its reason', () => {
    const dropped = { type: 'delivery-dropped', id: 'A1', topic: 't/1', clientid: 'pub', mark: null, at: AT, qos: 1 };
    expect(parseEvent(publishBody({ event: 'delivery.dropped', reason: 'queue_full' }))).toEqual({ ...dropped, reason: 'queue_full' });
    expect(parseEvent(publishBody({ event: 'delivery.dropped', reason: 'queue_full', qos: 'undefined' }))).toEqual({
      ...dropped,
      reason: 'queue_full',
    });
    expect(parseEvent(publishBody({ event: 'delivery.dropped', reason: 'queue_full', qos: 2 }))).toMatchObject({ qos: 2 });
    expect(parseEvent(publishBody({ event: 'delivery.dropped' }))).toEqual({ ...dropped, reason: 'unknown' });
  });

  test.each([
    'client.connack',
    'client.ping',
    'client.check_acl_complete',
    'alarm.activated',
    'schema.validation_failed',
    '$bridges/mqtt:a',
    '$sources/x/y',
  ])('EMQX has %s: accepted and ignored', (event) => expect(parseEvent({ event, anything: 1 })).toEqual({ type: 'ignored', event }));

  test.each(['message.published', '$events/message_acked', 'MESSAGE.PUBLISH', 'constructor', '__proto__', '', 5])(
    'EMQX has no %j',
    (event) => {
      expect(() => parseEvent({ event })).toThrow(/message\.publish, message\.dropped, .*alarm\.deactivated/);
    },
  );

  test('the path can name the event, but must not contradict it', () => {
    expect(readEvent(without(publishBody(), 'event'), 'message.publish').name).toBe('message.publish');
    expect(readEvent(publishBody({ event: 'undefined' }), 'message.publish').name).toBe('message.publish');
    expect(() => readEvent(publishBody(), 'message.acked')).toThrow(/same as in the path/);
    expect(flaws(without(publishBody(), 'event'))).toEqual(['/event']);
  });

  test('the metrics have a limited number of event labels', () => {
    expect(['message.acked', '$bridges/mqtt:a', '$sources/b'].map(metricLabel)).toEqual(['message.acked', '$bridges', '$sources']);
  });
});

test('a message that is written as an event is read back unchanged', () => {
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
  expect((parseEvent(written(fromWire(once))) as PublishEvent).message).toEqual(once);
});
