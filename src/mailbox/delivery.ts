import type { Delivery } from '../emqx/api';
import type { Message, QoS, UserProperty } from '../mqtt/message';
import { MSGID_PROPERTY, SIGNATURE_PROPERTY, type Address, type Signer } from './signature';

/** User properties for what EMQX's REST API can't carry (promise 11). */
const USER_PROPERTIES_PROPERTY = 'offline-user-properties';
const CORRELATION_DATA_PROPERTY = 'offline-correlation-data';
const OURS = new Set([MSGID_PROPERTY, SIGNATURE_PROPERTY, USER_PROPERTIES_PROPERTY, CORRELATION_DATA_PROPERTY]);

interface Way {
  /** The message's own topic, or the client's inbox topic. */
  readonly topic: string;
  readonly qos: QoS;
  /** ms, the server's clock. */
  readonly now: number;
}

/**
 * A stored message as EMQX's REST API takes it, with the mark that names the stored message and the mailbox it is for.
 */
export function deliveryOf(message: Message, { topic, qos, now }: Way, signer: Signer, address: Address): Delivery {
  const { contentType, responseTopic, correlationData, payloadFormatIndicator, messageExpiryInterval, userProperties } = message.properties;
  const text = correlationData === undefined ? undefined : printable(correlationData);
  return {
    topic,
    qos,
    // The flag is never set, because it would replace the retained message that EMQX has now.
    retain: false,
    payload: message.payload,
    properties: {
      ...(contentType !== undefined && { contentType }),
      ...(responseTopic !== undefined && { responseTopic }),
      ...(payloadFormatIndicator !== undefined && { payloadFormatIndicator }),
      ...(messageExpiryInterval !== undefined && { messageExpiryInterval: remaining(message, messageExpiryInterval, now) }),
      ...(text !== undefined && text !== null && { correlationData: text }),
      userProperties: {
        ...mapOf(userProperties ?? []),
        ...(text === null && { [CORRELATION_DATA_PROPERTY]: correlationData as string }),
        [MSGID_PROPERTY]: message.id,
        [SIGNATURE_PROPERTY]: signer.sign(message.id, topic, address),
      },
    },
  };
}

/** The remaining seconds; at least 1, because the message was not expired when it was read. */
function remaining(message: Message, interval: number, now: number): number {
  return Math.max(1, interval - Math.floor((now - message.publishReceivedAt) / 1000));
}

/**
 * The REST API takes a map. If there are duplicate keys, or keys that the server uses itself, all properties also go as
 * a list. The last value of a key wins, as in EMQX's own maps.
 */
function mapOf(properties: readonly UserProperty[]): Record<string, string> {
  const map = Object.fromEntries(properties.filter(({ key }) => !OURS.has(key)).map(({ key, value }) => [key, value]));
  return Object.keys(map).length === properties.length ? map : { ...map, [USER_PROPERTIES_PROPERTY]: JSON.stringify(properties) };
}

/** The bytes as text if the REST API can carry them (printable UTF-8), otherwise null. */
function printable(base64: string): string | null {
  const bytes = Buffer.from(base64, 'base64');
  const text = bytes.toString('utf8');
  return Buffer.from(text, 'utf8').equals(bytes) && !/[\p{Cc}\p{Cs}\p{Cn}]/u.test(text) ? text : null;
}
