import { isUtf8 } from 'node:buffer';
import { RefusedError } from '../../base/errors';
import type { Message, MessageProperties } from '../../mqtt/message';
import { saveOrBisect } from '../shared/bisect';
import { clampQos } from '../../mqtt/qos';
import type { Refusal } from '../store';
import type { Database } from './database';

/** A row of mqtt_msg or mqtt_retain as COLUMNS selects it. */
export interface MessageRow {
  readonly msgid: string;
  readonly topic: string;
  readonly sender: string | null;
  readonly username: string | null;
  readonly qos: number | null;
  readonly retain?: number | null;
  readonly payload: Buffer | null;
  readonly properties: string | null;
  readonly published_at: number | string | null;
  readonly expires_at: number | string | null;
}

/** Rows of EMQX's plugin have no published_at. Their `arrived` is in the database server's time zone. */
export const PUBLISHED_AT = 'COALESCE(published_at, ROUND(UNIX_TIMESTAMP(arrived) * 1000)) AS published_at';

export const COLUMNS = `msgid, topic, sender, username, qos, payload, properties, expires_at, ${PUBLISHED_AT}`;

export function toMessage(row: MessageRow, retain: boolean): Message {
  return {
    id: row.msgid,
    topic: row.topic,
    clientid: row.sender ?? '',
    username: row.username,
    qos: clampQos(row.qos ?? 0),
    retain,
    payload: row.payload ?? Buffer.alloc(0),
    publishReceivedAt: Number(row.published_at ?? 0),
    expiresAt: row.expires_at === null ? null : Number(row.expires_at),
    properties: row.properties === null ? {} : (JSON.parse(row.properties) as MessageProperties),
  };
}

/** The columns that a message fills in both tables, in the order of filled(). */
export const FILLED = 'msgid, topic, sender, username, qos, payload, properties, published_at, expires_at, arrived';

/** The values of FILLED as SQL. */
function filled({ id, topic, clientid, username, qos, payload, properties, publishReceivedAt, expiresAt }: Message): string {
  const more = JSON.stringify(properties);
  return `${text(id)},${text(topic)},${text(clientid)},${username === null ? 'NULL' : text(username)},${qos},${binary(payload)},${
    more === '{}' ? 'NULL' : text(more)
  },${publishReceivedAt},${expiresAt ?? 'NULL'},FROM_UNIXTIME(${publishReceivedAt / 1_000})`;
}

/**
 * A text as SQL. MySQL reads every other character inside quotes as it is, also 0 and the end of a line: the session has
 * backslash escapes, and the connection's character set is UTF-8.
 */
const text = (value: string): string => `'${value.replace(/['\\]/g, '\\$&')}'`;

/**
 * Bytes as SQL. Most payloads are text, which is half as long as its hexadecimal digits. `_binary` keeps the server from
 * reading it in a character set.
 */
const binary = (value: Buffer): string => (isUtf8(value) ? `_binary${text(value.toString())}` : `X'${value.toString('hex')}'`);

/** A list of texts, for `IN (...)`. */
export const listed = (texts: readonly string[]): string => texts.map(text).join(',');

/** A message as the text of a row. */
export interface RowText {
  readonly id: string;
  /** The values of FILLED, without parentheses. */
  readonly values: string;
  readonly retain: 0 | 1;
  /** What the row takes in a statement and the one after it, which repeats the id. */
  readonly bytes: number;
}

function toText(message: Message): RowText {
  const values = filled(message);
  return {
    id: message.id,
    values,
    retain: message.retain ? 1 : 0,
    bytes: Buffer.byteLength(values) + 2 * Buffer.byteLength(message.id) + 16,
  };
}

/** Inserts the messages with as few statements as the server's limit allows: one if payloads are small. */
export async function insertInStatements(
  db: Database,
  messages: readonly Message[],
  insert: (batch: readonly RowText[]) => Promise<void>,
): Promise<Refusal[]> {
  const limit = await db.maxStatementBytes();
  const refusals: Refusal[] = [];
  for (const chunk of chunks(messages, limit)) {
    refusals.push(
      ...(await saveOrBisect(chunk, async (batch) => {
        const [first] = batch;
        // Only a row that is a chunk of its own can be larger than the limit.
        if (first !== undefined && first.bytes > limit)
          throw new RefusedError(`the message needs a statement of ${first.bytes} bytes: raise max_allowed_packet of the server`);
        await insert(batch);
      })),
    );
  }
  return refusals;
}

/** Splits the messages, in order, into chunks that fit into one statement. Only one chunk is text at a time. */
function* chunks(messages: readonly Message[], limit: number): Generator<RowText[]> {
  let chunk: RowText[] = [];
  let bytes = 0;
  for (const message of messages) {
    const row = toText(message);
    if (chunk.length > 0 && bytes + row.bytes > limit) {
      yield chunk;
      chunk = [];
      bytes = 0;
    }
    chunk.push(row);
    bytes += row.bytes;
  }
  if (chunk.length > 0) yield chunk;
}
