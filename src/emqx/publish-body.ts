import type { Delivery } from './api';

/** What one bulk may hold. EMQX reads bodies up to 8 MB and answers 500 to a larger one; 4 MB is well inside (facts: sizes). */
export const MAX_BULK_MESSAGES = 500;
export const MAX_BULK_BYTES = 4 * 1024 * 1024;

/** One message as the JSON object that /publish takes, and /publish/bulk an array of. */
export interface EncodedMessage {
  readonly json: string;
  readonly bytes: number;
}

export function encodeMessage({ topic, qos, retain, payload, properties }: Delivery): EncodedMessage {
  return encodedAs({
    topic,
    qos,
    retain,
    payload_encoding: 'base64',
    payload: payload.toString('base64'),
    properties: propertiesOf(properties),
  });
}

export function encodedAs(entry: object): EncodedMessage {
  const json = JSON.stringify(entry);
  return { json, bytes: Buffer.byteLength(json) };
}

/** The names are the same in EMQX 4 and later. */
export function propertiesOf(properties: Delivery['properties']): object {
  return {
    // DANGER in the facts: a value that is not a string crashes every MQTT 5 subscriber. The type forbids it; so do we.
    user_properties: Object.fromEntries(Object.entries(properties.userProperties).map(([key, value]) => [key, String(value)])),
    content_type: properties.contentType,
    response_topic: properties.responseTopic,
    correlation_data: properties.correlationData,
    payload_format_indicator: properties.payloadFormatIndicator,
    message_expiry_interval: properties.messageExpiryInterval,
  };
}

/** The body for one message (/publish) or several (/publish/bulk). */
export function requestBody(messages: readonly EncodedMessage[]): string {
  const [first] = messages;
  return messages.length === 1 && first !== undefined ? first.json : `[${messages.map(({ json }) => json).join(',')}]`;
}

/**
 * Cuts messages, in order, into bulks within both bounds; one that is too large by itself stands alone. Never an empty bulk,
 * which EMQX answers with a 500. Lazy: no more than one bulk is held as JSON.
 */
export function* bulksOf(messages: Iterable<Delivery>, encode = encodeMessage): Generator<EncodedMessage[]> {
  let bulk: EncodedMessage[] = [];
  let bytes = 2;
  for (const message of messages) {
    const encoded = encode(message);
    if (bulk.length > 0 && (bulk.length === MAX_BULK_MESSAGES || bytes + encoded.bytes + 1 > MAX_BULK_BYTES)) {
      yield bulk;
      bulk = [];
      bytes = 2;
    }
    bulk.push(encoded);
    bytes += encoded.bytes + 1;
  }
  if (bulk.length > 0) yield bulk;
}
