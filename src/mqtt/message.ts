/**
 * The messages that the server stores. Words are used as in MQTT and EMQX: a message is published to a `topic`, a
 * client subscribes to a `topic filter`, `clientid` is an MQTT client identifier, and `qos` is 0 to 2.
 */

export type QoS = 0 | 1 | 2;

/** MQTT 5 PUBLISH properties, exactly as published. A property is absent if the publisher did not send it. */
export interface MessageProperties {
  readonly contentType?: string;
  readonly responseTopic?: string;
  /** Raw bytes, as base64. */
  readonly correlationData?: string;
  readonly payloadFormatIndicator?: 0 | 1;
  /** Seconds, counted from publishReceivedAt. */
  readonly messageExpiryInterval?: number;
  /** In the publisher's order, with duplicates. */
  readonly userProperties?: readonly UserProperty[];
}

export interface UserProperty {
  readonly key: string;
  readonly value: string;
}

export interface Message {
  /**
   * EMQX's message id: 32 upper-case hex digits whose string order is publish order. Every store takes each id
   * that isStorableId() accepts.
   */
  readonly id: string;
  readonly topic: string;
  /** The publisher's clientid. */
  readonly clientid: string;
  readonly username: string | null;
  readonly qos: QoS;
  readonly retain: boolean;
  readonly payload: Buffer;
  /** When EMQX received the message (ms since 1970). */
  readonly publishReceivedAt: number;
  /**
   * The message is not delivered after this time (ms): the MQTT 5 expiry or the end of the policy's ttl, whichever is
   * first. null: never expires.
   */
  readonly expiresAt: number | null;
  readonly properties: MessageProperties;
}

const ID = /^[0-9A-Za-z_-]{1,64}$/;

/** Whether a stored message can have this id. A takeover gives messages with other ids new ones. */
export function isStorableId(id: string): boolean {
  return ID.test(id);
}

/**
 * A message as JSON, as it is in the queue. The payload stays the base64 text of the event until its bytes are needed.
 */
export type WireMessage = Omit<Message, 'payload'> & { readonly payload: string };

export function toWire(message: Message): WireMessage {
  return { ...message, payload: message.payload.toString('base64') };
}

export function fromWire(message: WireMessage): Message {
  return { ...message, payload: Buffer.from(message.payload, 'base64') };
}

/** Names a stored message in every database: some use the id as the key, some the topic and the id. */
export interface MessageRef {
  readonly topic: string;
  readonly id: string;
}
