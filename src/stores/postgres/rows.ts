import type { Message, MessageProperties } from '../../mqtt/message';
import { clampQos } from '../../mqtt/qos';
import { fitsText } from '../shared/text';

/** A row of mqtt_msg or mqtt_retain as COLUMNS selects it. int8 columns are returned as text. */
export interface MessageRow {
  readonly msgid: string;
  readonly topic: string;
  readonly sender: string | null;
  readonly username: string | null;
  readonly qos: number | null;
  readonly retain?: number | null;
  readonly payload: string | null;
  readonly payload_bin: Buffer | null;
  readonly properties: MessageProperties | null;
  readonly published_at: string | null;
  readonly expires_at: string | null;
}

/**
 * Rows of EMQX's plugin have no published_at. Their `arrived` is in the database server's time zone, and may be
 * 'infinity'.
 */
export const PUBLISHED_AT =
  'coalesce(published_at, CASE WHEN isfinite(arrived) THEN (extract(epoch FROM arrived::timestamptz) * 1000)::bigint END) AS published_at';

export const COLUMNS = `msgid, topic, sender, username, qos, payload, payload_bin, properties, expires_at, ${PUBLISHED_AT}`;

export function toMessage(row: MessageRow, retain: boolean): Message {
  return {
    id: row.msgid,
    topic: row.topic,
    clientid: row.sender ?? '',
    username: row.username,
    qos: clampQos(row.qos ?? 0),
    retain,
    payload: row.payload_bin ?? Buffer.from(row.payload ?? ''),
    publishReceivedAt: Number(row.published_at ?? 0),
    expiresAt: row.expires_at === null ? null : Number(row.expires_at),
    properties: row.properties ?? {},
  };
}

/** One array per column, so that a batch is one statement with a fixed number of bindings, whatever its size. */
export function toColumns(messages: readonly Message[]) {
  return {
    msgids: messages.map(({ id }) => id),
    senders: messages.map(({ clientid }) => clientid),
    topics: messages.map(({ topic }) => topic),
    qoss: messages.map(({ qos }) => qos),
    retains: messages.map(({ retain }) => (retain ? 1 : 0)),
    payloads: messages.map(({ payload }) => (fitsText(payload) ? payload.toString() : null)),
    binaries: messages.map(({ payload }) => (fitsText(payload) ? null : payload)),
    usernames: messages.map(({ username }) => username),
    properties: messages.map(({ properties }) => propertiesText(properties)),
    published: messages.map(({ publishReceivedAt }) => publishReceivedAt),
    expires: messages.map(({ expiresAt }) => expiresAt),
  };
}

export function propertiesText(properties: MessageProperties): string | null {
  return Object.keys(properties).length === 0 ? null : JSON.stringify(properties);
}

/** The same arrays in SQL. */
export const ARRAYS = `:msgids::text[], :senders::text[], :topics::text[], :qoss::int[], :retains::int[], :payloads::text[],
    :binaries::bytea[], :usernames::text[], :properties::json[], :published::bigint[], :expires::bigint[]`;

/** The arrays as a table m(...). */
export const UNNEST = `unnest(${ARRAYS})
  AS m(msgid, sender, topic, qos, retain, payload, payload_bin, username, properties, published_at, expires_at)`;
