import { isUtf8 } from 'node:buffer';
import type { types } from 'cassandra-driver';
import type { Message, MessageProperties, MessageRef } from '../../mqtt/message';
import { clampQos } from '../../mqtt/qos';

/** A row of mqtt_msg or retain as COLUMNS selects it. */
export interface MessageRow {
  readonly topic: string;
  readonly msgid: string | null;
  readonly sender: string | null;
  readonly username: string | null;
  readonly qos: number | null;
  readonly retain?: number | null;
  readonly payload: string | null;
  readonly payload_bin: Buffer | null;
  readonly properties: string | null;
  readonly arrived: Date | null;
  readonly published_at: types.Long | null;
  readonly expires_at: types.Long | null;
}

/** A stored row. */
export interface Stored extends MessageRef {
  readonly expiresAt: number | null;
  /** The timestamp of its write (microseconds); null if EMQX's plugin wrote it. */
  readonly at: number | null;
}

/** The longest partition key (bytes). */
const LONGEST_TOPIC = 65_535;

/** Whether messages can be stored under this topic. */
export function fitsKey(topic: string): boolean {
  return topic !== '' && Buffer.byteLength(topic) <= LONGEST_TOPIC;
}

export const COLUMNS = 'topic, msgid, sender, username, qos, payload, payload_bin, properties, arrived, published_at, expires_at';

export const LISTED = 'msgid, arrived, published_at, expires_at';
export type ListedRow = Pick<MessageRow, 'msgid' | 'arrived' | 'published_at' | 'expires_at'>;

/** Exact up to 2^53, which is enough for all times. */
export const toNumber = (long: types.Long | null | undefined): number | null =>
  long === null || long === undefined ? null : long.toNumber();

export const publishedAt = ({ published_at: at, arrived }: Pick<MessageRow, 'published_at' | 'arrived'>): number =>
  toNumber(at) ?? arrived?.getTime() ?? 0;

export function toMessage(row: MessageRow, retain: boolean): Message {
  return {
    id: row.msgid ?? '',
    topic: row.topic,
    clientid: row.sender ?? '',
    username: row.username,
    qos: clampQos(row.qos ?? 0),
    retain,
    payload: row.payload_bin ?? Buffer.from(row.payload ?? ''),
    publishReceivedAt: publishedAt(row),
    expiresAt: toNumber(row.expires_at),
    properties: row.properties === null ? {} : (JSON.parse(row.properties) as MessageProperties),
  };
}

/**
 * Values of sender, username, qos, payload, payload_bin, properties, arrived, published_at, expires_at.
 * @param none the value for absent columns.
 */
export function contentOf<N extends null | undefined>(
  { clientid, username, qos, payload, properties, publishReceivedAt, expiresAt }: Message,
  none: N,
): unknown[] {
  const readable = isUtf8(payload);
  return [
    ...[clientid, username ?? none, qos, readable ? payload.toString() : none, readable ? none : payload],
    ...[JSON.stringify(properties), new Date(publishReceivedAt), publishReceivedAt, expiresAt ?? none],
  ];
}
