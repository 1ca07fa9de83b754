import { isUtf8 } from 'node:buffer';
import type { Message, MessageProperties } from '../../mqtt/message';
import { clampQos } from '../../mqtt/qos';
import type { Row } from './client';

/** A row of mqtt_msg or mqtt_retain as COLUMNS selects it. */
export interface MessageRow {
  readonly msgid: string;
  readonly topic: string;
  readonly sender: string;
  readonly username: string | null;
  readonly qos: number | null;
  readonly retain?: number | null;
  readonly payload: string;
  readonly payload_base64: string | null;
  readonly properties: string | null;
  readonly published_at: number | null;
  readonly arrived: number;
  readonly expires_at: number | null;
}

export const COLUMNS = 'msgid, topic, sender, username, qos, payload, payload_base64, properties, published_at, arrived, expires_at';

export function toMessage(row: MessageRow, retain: boolean): Message {
  return {
    id: row.msgid,
    topic: row.topic,
    clientid: row.sender,
    username: row.username,
    qos: clampQos(row.qos ?? 0),
    retain,
    payload: row.payload_base64 === null ? Buffer.from(row.payload) : Buffer.from(row.payload_base64, 'base64'),
    publishReceivedAt: row.published_at ?? row.arrived,
    expiresAt: row.expires_at,
    properties: row.properties === null ? {} : (JSON.parse(row.properties) as MessageProperties),
  };
}

/** The columns that both tables share. Rows are sent as JSON, so payloads that are not UTF-8 go as base64. */
export function toRow({ id, topic, clientid, username, qos, payload, publishReceivedAt, expiresAt, properties }: Message): Row {
  const readable = isUtf8(payload);
  return {
    ...{ msgid: id, sender: clientid, topic, qos, arrived: publishReceivedAt, username },
    payload: readable ? payload.toString() : '',
    payload_base64: readable ? null : payload.toString('base64'),
    properties: JSON.stringify(properties),
    published_at: publishReceivedAt,
    expires_at: expiresAt,
  };
}
