import { fromWire } from '../../src/mqtt/message';
import type { PublishEvent } from '../../src/events/event';
import { FIXTURES_V4, parseEvent, TYPES } from './bodies';

const bodies = FIXTURES_V4.map(({ rule, body }) => ({ isShipped: rule !== 'SELECT *', body }));
const find = (isShipped: boolean, fields: Record<string, unknown>, more: (body: Record<string, unknown>) => boolean = () => true) => {
  const found = bodies.find(
    (each) => each.isShipped === isShipped && Object.entries(fields).every(([key, value]) => each.body[key] === value) && more(each.body),
  );
  if (found === undefined) throw new Error(`no fixture ${JSON.stringify(fields)}`);
  return parseEvent(found.body);
};
const hasProperties = ({ pub_props: props }: Record<string, unknown>) => Object.keys(props as object).length > 0;

describe('the recorded events of EMQX 4.4.19', () => {
  test.each(FIXTURES_V4.map(({ rule, body }, i) => [i, rule.slice(0, 8), String(body['event']), body] as const))(
    '%i (%s): %s is understood',
    (_, _rule, event, body) => {
      expect(parseEvent(body).type).toBe(TYPES[event]);
    },
  );

  test('contain a publish that is parsed exactly', () => {
    expect(find(true, { event: 'message.publish', clientid: 'pub4' })).toEqual({
      type: 'publish',
      mark: null,
      message: {
        ...{ id: '0006613535FE14A6A7E5000001F30001', topic: 't/1', clientid: 'pub4', username: null, qos: 1, retain: false },
        ...{ payload: Buffer.from('{"a":1}').toString('base64'), publishReceivedAt: 1795731027268, expiresAt: null, properties: {} },
      },
    });
  });

  test('promise 11: keep payload, correlation data and properties', () => {
    const { message } = find(true, { event: 'message.publish', topic: 't/1' }, hasProperties) as PublishEvent;
    expect(fromWire(message)).toMatchObject({
      qos: 2,
      payload: Buffer.from([0, 0xff, 0xfe, 0x80]),
      expiresAt: 1795731027276 + 60_000,
      properties: {
        ...{ contentType: 'text/plain', correlationData: Buffer.from([1, 2, 0xff]).toString('base64'), messageExpiryInterval: 60 },
        userProperties: [
          { key: 'a', value: '1' },
          { key: 'b', value: 'x' },
          { key: 'b', value: 'y' },
        ],
      },
    });
  });

  test('have the mark in a message from REST and its acknowledgement', () => {
    const mark = { id: '0006613508B7DA0AA7E4000001F50001', signature: 'sig' };
    expect(find(false, { event: 'message.publish', clientid: 'emqx-offline-store' })).toMatchObject({ mark });
    expect(find(true, { event: 'message.acked', topic: 't/1' }, hasProperties)).toMatchObject({ mark, clientid: 'dev/a+1' });
  });

  test('have the session fields of a connection', () => {
    expect(find(false, { event: 'client.connected', clientid: 'dev/a+1' })).toMatchObject({
      cleanStart: true,
      expiryMs: 0,
      at: 1795731027244,
    });
    expect(find(false, { event: 'client.connected', clientid: 'pers' })).toMatchObject({
      cleanStart: expect.any(Boolean),
      expiryMs: expect.any(Number),
    });
  });

  test('keep filter and time of a subscription, and QoS 0 of a delivery (promise 16)', () => {
    expect(find(true, { event: 'session.subscribed', topic: 't/9' })).toEqual({
      type: 'subscribed',
      clientid: 'dev/a+1',
      filter: 't/9',
      qos: 1,
      at: 1795731027264,
    });
    expect(find(false, { event: 'message.delivered', clientid: 'zero' })).toMatchObject({ qos: 0 });
  });
});
