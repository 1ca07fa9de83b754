import type { Delivery } from './api';

/** The limits of one bulk. EMQX accepts bodies of up to 8 MB and answers 500 to a larger one; 4 MB is safely below. */
const MAX_BULK_MESSAGES = 500;
export const MAX_BULK_BYTES = 4 * 1024 * 1024;

/** One message as the JSON object that /publish takes, and of which /publish/bulk takes an array. */
export interface EncodedMessage {
  readonly json: string;
  readonly bytes: number;
}

function encodeMessage({ topic, qos, retain, payload, properties }: Delivery): EncodedMessage {
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
    // A value that is not a string makes EMQX close the connection of every MQTT 5 subscriber. The type forbids it, and
    // this conversion makes sure.
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
 * Splits messages, in order, into bulks within both limits. A message that is too large gets a bulk of its own. A bulk
 * is never empty, because EMQX answers 500 to an empty one. The generator holds only one bulk as JSON at a time.
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
