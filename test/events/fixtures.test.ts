import type { AckedEvent, PublishEvent } from '../../src/events/event';
import { fixture, FIXTURES, parseEvent, TYPES } from './bodies';
import { fromWire } from '../../src/mqtt/message';

const publish = (name: string) => fromWire((parseEvent(fixture('message.publish', name)) as PublishEvent).message);

describe('the recorded events of EMQX 5.8.9', () => {
  test.each(FIXTURES.map((each) => [each.event, each.case, each.body] as const))('%s (%s) is understood', (event, _, body) => {
    expect(parseEvent(body).type).toBe(TYPES[event]);
  });

  test('contain a publish that is parsed exactly', () => {
    expect(parseEvent(fixture('message.publish', 'text qos1'))).toEqual({
      type: 'publish',
      mark: null,
      message: {
        id: '000660C033B654DCF49A0000049C0002',
        topic: 't/1',
        clientid: 'pub5',
        username: null,
        qos: 1,
        retain: false,
        payload: Buffer.from('{"msg":"hello"}').toString('base64'),
        publishReceivedAt: 1795228477838,
        expiresAt: null,
        properties: {},
      },
    });
  });

  test('promises 11 and 12: keep MQTT 5 properties in order, and the expiry from the publish', () => {
    expect(publish('MQTT 5 properties')).toMatchObject({
      retain: true,
      expiresAt: 1795228477840 + 3_600_000,
      properties: {
        contentType: 'text/plain',
        responseTopic: 'r/1',
        correlationData: Buffer.from('\u0001\u0002\ufffd').toString('base64'),
        payloadFormatIndicator: 1,
        messageExpiryInterval: 3600,
        userProperties: [
          { key: 'a', value: '1' },
          { key: 'b', value: 'x' },
          { key: 'b', value: 'y' },
        ],
      },
    });
  });

  test('promise 11: keep payload and correlation data in base64 byte by byte', () => {
    expect(publish('explicit column list')).toMatchObject({
      payload: Buffer.from([0, 0xff]),
      username: 'bob',
      properties: { correlationData: 'Af8=', userProperties: [{ key: 'k', value: 'v' }] },
    });
    expect(publish('binary 00 ff fe 80 with base64')).toMatchObject({
      payload: Buffer.from([0, 0xff, 0xfe, 0x80]),
      properties: { correlationData: 'Af8=' },
    });
  });

  test('keep an empty payload and a Unicode payload', () => {
    expect(publish('empty payload').payload).toHaveLength(0);
    expect(publish('unicode payload').payload.toString()).toBe('éü漢字😀\u0001"\\');
  });

  test('have the mark in a re-published message and its acknowledgement', () => {
    expect(parseEvent(fixture('message.publish', 'republished by REST'))).toMatchObject({ mark: { id: 'ABC', signature: '' } });
    expect(parseEvent(fixture('message.acked', 'explicit column list'))).toEqual({
      type: 'acked',
      id: '000660C086F90843F49B000004890000',
      topic: '$offline/z1/t/1',
      clientid: 'z1',
      mark: { id: 'ABC', signature: '' },
      at: 1795229874719,
    });
  });

  test('have the acknowledgement time of a retained message', () => {
    expect((parseEvent(fixture('message.acked', 'MQTT 5 properties')) as AckedEvent).at).toBe(1795228477790);
  });

  test('keep $share, QoS and time of subscriptions', () => {
    expect(parseEvent(fixture('session.subscribed', 'shared'))).toEqual({
      type: 'subscribed',
      clientid: 'dev/a+1',
      filter: '$share/g1/t/9',
      qos: 1,
      at: 1795228477833,
    });
    expect(parseEvent(fixture('session.unsubscribed', 'exact'))).toEqual({
      type: 'unsubscribed',
      clientid: 'dev/a+1',
      filter: 't/1',
      at: 1795228478660,
    });
    expect(parseEvent(fixture('session.subscribed', 'explicit column list'))).toMatchObject({
      type: 'subscribed',
      filter: 't/1',
      at: 1795229874610,
    });
  });

  test('have node and times of connections', () => {
    expect(parseEvent(fixture('client.connected', 'MQTT 3.1.1'))).toEqual({
      type: 'connected',
      clientid: 'dev/a+1',
      node: 'emqx@127.0.0.1',
      at: 1795228477781,
      cleanStart: true,
      expiryMs: 0,
      sessionOnly: false,
      mountpoint: null,
    });
    expect(parseEvent(fixture('client.connected', 'MQTT 5 persistent'))).toMatchObject({
      clientid: 'pers5',
      cleanStart: false,
      expiryMs: 300_000,
    });
    expect(parseEvent(fixture('client.disconnected', 'normal'))).toEqual({
      type: 'disconnected',
      clientid: 'dev/a+1',
      node: 'emqx@127.0.0.1',
      connectedAt: 1795228477781,
      at: 1795228480578,
    });
  });

  test('show that a delivery had QoS 0 (promise 16)', () => {
    expect(parseEvent(fixture('message.delivered', 'delivered to a QoS 0'))).toMatchObject({ type: 'delivered', qos: 0, clientid: 'zero' });
  });
});
