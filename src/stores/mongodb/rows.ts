import type { Document, Long } from 'mongodb';
import type { Message, MessageProperties } from '../../mqtt/message';
import { clampQos } from '../../mqtt/qos';
import { fitsText } from '../shared/text';
import { keyOf } from './keys';

/** EMQX's documents have times as dates, or as numbers in s or ms. */
export type StoredTime = Date | number | Long | null;

/**
 * A document of mqtt_msg or mqtt_retain. In EMQX's own documents all fields except topic_key and msgid may be missing.
 */
export interface MessageDocument extends Document {
  readonly msgid: string;
  readonly topic: string;
  readonly topic_key: string;
  readonly sender?: string | null;
  readonly username?: string | null;
  readonly qos?: number | Long | null;
  readonly retain?: boolean | number | null;
  readonly payload?: string | Uint8Array | null;
  readonly properties?: MessageProperties | null;
  readonly arrived?: StoredTime;
  readonly expires_at?: StoredTime;
}

export function toMessage(stored: MessageDocument, retain = Boolean(stored.retain)): Message {
  const { payload, expires_at } = stored;
  return {
    id: stored.msgid,
    topic: stored.topic,
    clientid: stored.sender ?? '',
    username: stored.username ?? null,
    qos: clampQos(Number(stored.qos ?? 0)),
    retain,
    payload: Buffer.from(payload ?? ''),
    publishReceivedAt: timeOf(stored.arrived) ?? 0,
    expiresAt: expires_at === undefined || expires_at === null ? null : timeOf(expires_at),
    properties: stored.properties ?? {},
  };
}

/** Absent values are left out, so that the index on expires_at contains only documents that expire. */
export function toDocument(message: Message): MessageDocument {
  const { payload, username, expiresAt, properties } = message;
  return {
    msgid: message.id,
    topic: message.topic,
    topic_key: keyOf(message.topic),
    sender: message.clientid,
    qos: message.qos,
    retain: message.retain,
    payload: fitsText(payload) ? payload.toString() : payload,
    arrived: new Date(message.publishReceivedAt),
    ...(username !== null && { username }),
    ...(expiresAt !== null && { expires_at: new Date(expiresAt) }),
    ...(Object.keys(properties).length > 0 && { properties }),
  };
}

/**
 * As ms, a number below the first limit would be before 1973, and one above the second after 5138. So they are in s and
 * in µs.
 */
const LEAST_MS = 1e11;
const LEAST_MICROSECONDS = 1e14;

/** Converts a time to ms since 1970. */
export function timeOf(stored: StoredTime | undefined): number | null {
  if (stored === null || stored === undefined) return null;
  if (stored instanceof Date) return stored.getTime();
  const number = Number(stored);
  if (!Number.isFinite(number)) return null;
  if (number < LEAST_MS) return Math.round(number * 1_000);
  return Math.round(number < LEAST_MICROSECONDS ? number : number / 1_000);
}
