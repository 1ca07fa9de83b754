import { RefusedError } from '../../base/errors';
import type { Message, MessageProperties } from '../../mqtt/message';
import { saveOrBisect } from '../shared/bisect';
import { clampQos } from '../../mqtt/qos';
import type { Refusal } from '../store';
import type { Binding, Database } from './database';

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

/** The columns that a message fills in both tables, in the order of toBindings(). */
export const FILLED = 'msgid, topic, sender, username, qos, payload, properties, published_at, expires_at, arrived';
export const PLACES = '?, ?, ?, ?, ?, ?, ?, ?, ?, FROM_UNIXTIME(? / 1000)';

export function toBindings({ id, topic, clientid, username, qos, payload, properties, publishReceivedAt, expiresAt }: Message): Binding[] {
  return [id, topic, clientid, username, qos, payload, JSON.stringify(properties), publishReceivedAt, expiresAt, publishReceivedAt];
}

/** An upper limit, because quoting may turn a byte into two. */
function statementBytes({ topic, clientid, username, payload, properties }: Message): number {
  const texts = topic.length + clientid.length + (username?.length ?? 0) + JSON.stringify(properties).length;
  // A UTF-16 unit takes up to three bytes.
  return 2 * (payload.length + 3 * texts) + 1_000;
}

/** Inserts the messages with as few statements as the server's limit allows: one if payloads are small. */
export async function insertInStatements(
  db: Database,
  messages: readonly Message[],
  insert: (batch: readonly Message[]) => Promise<void>,
): Promise<Refusal[]> {
  const limit = await db.maxStatementBytes();
  const refusals: Refusal[] = [];
  for (const chunk of chunks(messages, limit)) {
    const [only] = chunk;
    const bytes = chunk.length === 1 && only !== undefined ? statementBytes(only) : 0;
    refusals.push(
      ...(await saveOrBisect(chunk, async (batch) => {
        if (bytes > limit)
          throw new RefusedError(`the message needs a statement of ${bytes} bytes: raise max_allowed_packet of the server`);
        await insert(batch);
      })),
    );
  }
  return refusals;
}

/** Splits the messages, in order, into chunks that fit into one statement. */
function* chunks(messages: readonly Message[], limit: number): Generator<Message[]> {
  let chunk: Message[] = [];
  let bytes = 0;
  for (const message of messages) {
    const size = statementBytes(message);
    if (chunk.length > 0 && bytes + size > limit) {
      yield chunk;
      chunk = [];
      bytes = 0;
    }
    chunk.push(message);
    bytes += size;
  }
  if (chunk.length > 0) yield chunk;
}
