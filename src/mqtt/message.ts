/**
 * The messages we keep. Words as in MQTT and EMQX: `topic` is what a message was published to, `topic filter` what a client
 * subscribed to, `clientid` an MQTT client identifier, `qos` 0 to 2.
 */

export type QoS = 0 | 1 | 2;

/** MQTT 5 PUBLISH properties, exactly as published. Absent means that the publisher did not send it. */
export interface MessageProperties {
  readonly contentType?: string;
  readonly responseTopic?: string;
  /** Raw bytes, as base64. */
  readonly correlationData?: string;
  readonly payloadFormatIndicator?: 0 | 1;
  /** Seconds, counted from publishReceivedAt. */
  readonly messageExpiryInterval?: number;
  /** In the publisher's order, duplicates kept. */
  readonly userProperties?: readonly UserProperty[];
}

export interface UserProperty {
  readonly key: string;
  readonly value: string;
}

export interface Message {
  /** EMQX's message id: 32 upper-case hex digits whose string order is publish order (1 to 64 of [0-9A-Za-z_-]). */
  readonly id: string;
  readonly topic: string;
  /** The publisher. */
  readonly clientid: string;
  readonly username: string | null;
  readonly qos: QoS;
  readonly retain: boolean;
  readonly payload: Buffer;
  /** When EMQX received it, in ms since 1970. */
  readonly publishReceivedAt: number;
  /** When it must no longer be delivered (MQTT 5 expiry or the policy's ttl, whichever is first), in ms; null: never. */
  readonly expiresAt: number | null;
  readonly properties: MessageProperties;
}

/** A message as JSON, as it rides in the queue: the payload stays the base64 text that it came as until somebody needs its bytes. */
export type WireMessage = Omit<Message, 'payload'> & { readonly payload: string };

export function toWire(message: Message): WireMessage {
  return { ...message, payload: message.payload.toString('base64') };
}

export function fromWire(message: WireMessage): Message {
  return { ...message, payload: Buffer.from(message.payload, 'base64') };
}

/** What names a stored message in every database: some are keyed by id, some by topic and id. */
export interface MessageRef {
  readonly topic: string;
  readonly id: string;
}
