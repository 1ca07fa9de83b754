import { isUtf8 } from 'node:buffer';
import type { Message, MessageProperties } from '../../mqtt/message';
import { clampQos } from '../../mqtt/qos';
import type { Row } from './client';

/** The columns that mqtt_msg and mqtt_retain share. */
interface SharedColumns {
  readonly msgid: string;
  readonly topic: string;
  readonly sender: string;
  readonly qos: number | null;
  readonly payload: string;
}

/** A row of mqtt_msg as MESSAGE_COLUMNS selects it. */
export interface MessageRow extends SharedColumns {
  readonly retain: number | null;
  /** Names and values in turn: what few messages have, so that an insert writes few columns. */
  readonly extra: readonly string[];
  readonly published_ms: number;
  /** 0: never. */
  readonly expires_ms: number;
  readonly stored_at: number;
}

/** A row of mqtt_retain as RETAINED_COLUMNS selects it. */
export interface RetainedRow extends SharedColumns {
  readonly username: string | null;
  readonly payload_base64: string | null;
  readonly properties: string | null;
  readonly published_at: number | null;
  readonly arrived: number;
  readonly expires_at: number | null;
}

const SHARED = 'msgid, topic, sender, qos, payload';
export const MESSAGE_COLUMNS = `${SHARED}, retain, extra, published_ms, expires_ms, stored_at`;
export const RETAINED_COLUMNS = `${SHARED}, username, payload_base64, properties, published_at, arrived, expires_at`;

export function toMessage(row: MessageRow): Message {
  const extra = new Map<string, string>();
  for (let i = 0; i < row.extra.length; i += 2) extra.set(row.extra[i] ?? '', row.extra[i + 1] ?? '');
  return {
    ...sharedOf(row),
    username: extra.get('username') ?? null,
    retain: row.retain === 1,
    payload: payloadOf(row.payload, extra.get('payload_base64')),
    publishReceivedAt: row.published_ms,
    expiresAt: row.expires_ms === 0 ? null : row.expires_ms,
    properties: propertiesOf(extra.get('properties')),
  };
}

export function toRetained(row: RetainedRow): Message {
  return {
    ...sharedOf(row),
    username: row.username,
    retain: true,
    payload: payloadOf(row.payload, row.payload_base64 ?? undefined),
    publishReceivedAt: row.published_at ?? row.arrived,
    expiresAt: row.expires_at,
    properties: propertiesOf(row.properties ?? undefined),
  };
}

const sharedOf = ({ msgid, topic, sender, qos }: SharedColumns) => ({ id: msgid, topic, clientid: sender, qos: clampQos(qos ?? 0) });
const payloadOf = (text: string, base64?: string): Buffer => (base64 === undefined ? Buffer.from(text) : Buffer.from(base64, 'base64'));
const propertiesOf = (json?: string): MessageProperties => (json === undefined ? {} : (JSON.parse(json) as MessageProperties));

export function messageRow(message: Message, storedAt: number): Row {
  const { username, retain, publishReceivedAt, expiresAt, properties } = message;
  const { base64, ...shared } = sharedRow(message);
  const json = JSON.stringify(properties);
  return {
    ...shared,
    retain: retain ? 1 : 0,
    extra: [
      ...(base64 === null ? [] : ['payload_base64', base64]),
      ...(username === null ? [] : ['username', username]),
      ...(json === '{}' ? [] : ['properties', json]),
    ],
    published_ms: publishReceivedAt,
    expires_ms: expiresAt === null ? 0 : Math.max(expiresAt, 1),
    stored_at: storedAt,
  };
}

export function retainedRow(message: Message): Row {
  const { base64, ...shared } = sharedRow(message);
  return {
    ...shared,
    username: message.username,
    payload_base64: base64,
    properties: JSON.stringify(message.properties),
    published_at: message.publishReceivedAt,
    expires_at: message.expiresAt,
  };
}

/** Rows are sent as JSON, so payloads that are not UTF-8 go as base64. */
function sharedRow({ id, topic, clientid, qos, payload, publishReceivedAt }: Message) {
  const readable = isUtf8(payload);
  return {
    ...{ msgid: id, sender: clientid, topic, qos, arrived: publishReceivedAt },
    payload: readable ? payload.toString() : '',
    base64: readable ? null : payload.toString('base64'),
  };
}
