import { deliveryOf } from '../../src/mailbox/delivery';
import type { MessageProperties } from '../../src/mqtt/message';
import { Signer, type Address } from '../../src/mailbox/signature';
import { message } from '../support/messages';

const signer = new Signer('key');
const FOR_C: Address = { mailbox: 'c', kind: 'own' };
const base64 = (...bytes: number[]) => Buffer.from(bytes).toString('base64');
const propertiesOf = (properties: MessageProperties, ageMs = 0) => {
  const now = Date.now();
  return deliveryOf(
    message({ topic: 't', id: 'M', properties, publishReceivedAt: now - ageMs }),
    { topic: 't', qos: 1, now },
    signer,
    FOR_C,
  ).properties;
};
const marks = { 'offline-msgid': 'M', 'offline-sig': signer.sign('M', 't', FOR_C) };

describe('a delivery', () => {
  it("has a mark with the message's id and the server's signature", () => {
    expect(propertiesOf({}).userProperties).toEqual(marks);
  });

  // Promise 24: of an inbox that topic, and of a shared subscription whom it was sent for.
  it('has a mark for the topic that it is published to and for its mailbox', () => {
    const address: Address = { mailbox: 'g', kind: 'group' };
    const { topic, properties } = deliveryOf(message({ topic: 't', id: 'M' }), { topic: '$offline/c/t', qos: 1, now: 0 }, signer, address);
    const mark = { id: 'M', signature: properties.userProperties['offline-sig'] ?? '' };
    expect([topic, signer.verified(mark, topic), signer.verified(mark, 't')]).toEqual(['$offline/c/t', { id: 'M', ...address }, null]);
  });

  it("is never retained, because it would replace EMQX's retained message", () => {
    expect(deliveryOf(message({ topic: 't', retain: true }), { topic: 't', qos: 1, now: 0 }, signer, FOR_C).retain).toBe(false);
  });

  it("keeps the properties that EMQX's REST API supports unchanged (promise 11)", () => {
    const properties: MessageProperties = {
      ...{ contentType: 'text/plain', responseTopic: 'r/1', payloadFormatIndicator: 1 },
      ...{ correlationData: Buffer.from('é-42').toString('base64'), userProperties: [{ key: 'a', value: '1' }] },
    };
    expect(propertiesOf(properties)).toEqual({
      ...{ contentType: 'text/plain', responseTopic: 'r/1', payloadFormatIndicator: 1, correlationData: 'é-42' },
      userProperties: { a: '1', ...marks },
    });
  });

  it('carries duplicate user properties as a list (promise 11)', () => {
    const pairs = [
      { key: 'b', value: 'x' },
      { key: 'b', value: 'y' },
    ];
    expect(propertiesOf({ userProperties: pairs }).userProperties).toEqual({
      ...{ b: 'y', 'offline-user-properties': JSON.stringify(pairs) },
      ...marks,
    });
  });

  it('keeps its mark when the publisher set a property of the same name', () => {
    const pairs = [{ key: 'offline-msgid', value: 'OTHER' }];
    expect(propertiesOf({ userProperties: pairs }).userProperties).toEqual({ 'offline-user-properties': JSON.stringify(pairs), ...marks });
  });

  it.each([[[1, 0x78]], [[0xff, 0xfe]], [[0]], [[0x7f]]])(
    'carries correlation data %p as base64 in a user property (promise 11)',
    (bytes) => {
      const { correlationData, userProperties } = propertiesOf({ correlationData: base64(...bytes) });
      expect(correlationData).toBeUndefined();
      expect(userProperties['offline-correlation-data']).toBe(base64(...bytes));
    },
  );

  it('has the remaining expiry of the message (promise 12)', () => {
    expect(propertiesOf({ messageExpiryInterval: 60 }, 20_500).messageExpiryInterval).toBe(40);
    expect(propertiesOf({ messageExpiryInterval: 60 }, 59_999).messageExpiryInterval).toBe(1);
    expect(propertiesOf({}).messageExpiryInterval).toBeUndefined();
  });
});
