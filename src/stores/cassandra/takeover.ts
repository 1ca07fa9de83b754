import { createHash } from 'node:crypto';
import type { TakeoverCount } from '../../base/migration';
import { isStorableId } from '../../mqtt/message';
import type { Database } from './database';
import { moveToFewerWrites } from './fewer-writes';
import { enterConsumer } from './positions';
import { COLUMNS, toNumber, type MessageRow } from './rows';
import { shardOf } from './topic-index';

const PAGE = 200;

interface MsgKey {
  readonly topic: string;
  readonly msgid: string;
  readonly arrived: Date | null;
}

/** Called for each page, with the number of its rows, so that the lock does not end meanwhile. */
export type HoldOn = (rows: number) => Promise<void>;
/** @param from the version of the schema before the migration; 0 if it had none. */
type Takeover = (db: Database, holdOn: HoldOn, from: number) => Promise<void>;

/** What each migration, by its number, does with present rows. Each may be repeated. */
export const TAKEOVERS: Readonly<Record<number, Takeover>> = { 1: takeMessages, 2: takeClients, 5: moveToFewerWrites };

/** EMQX's own tables. Their rows get entries in the server's tables. */
const TAKEN = ['mqtt_msg', 'retain', 'acked'];
const COUNTED_AT_ONCE = 5_000;

/** Page by page: a count(*) over a large table runs into Cassandra's timeout. */
export async function takeoverCounts(db: Database): Promise<TakeoverCount[]> {
  const tables = await db.rows<{ table_name: string }>('SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?', [
    db.keyspace,
  ]);
  const counts: TakeoverCount[] = [];
  for (const table of TAKEN.filter((name) => tables.some(({ table_name: found }) => found === name))) {
    let rows = 0;
    for await (const page of db.pages(`SELECT topic FROM ${table}`, [], COUNTED_AT_ONCE)) rows += page.length;
    counts.push({ table, rows });
  }
  return counts;
}

/**
 * Adds the index entries of EMQX's rows. mqtt_msg has no nulls and no two rows with the same topic and id. A row gets a
 * new id, which sorts by its time, if its id could not come back in an acknowledgement or if another topic has the same
 * id.
 */
async function takeMessages(db: Database, holdOn: HoldOn): Promise<void> {
  for await (const rows of db.pages<MsgKey>('SELECT topic, msgid, arrived FROM mqtt_msg', [], PAGE)) {
    // What this process writes after it has stood still must be older than what its successor has removed.
    const timestamp = db.timestamp();
    await holdOn(rows.length);
    const topicOf = new Map<string, string>();
    await db.wave(rows, async ({ msgid }) => {
      if (!isStorableId(msgid)) return;
      const [known] = await db.rows<{ topic: string }>('SELECT topic FROM mqtt_msg_id WHERE msgid = ?', [msgid]);
      if (known !== undefined) topicOf.set(msgid, known.topic);
    });
    for (const { topic, msgid } of rows) if (isStorableId(msgid) && !topicOf.has(msgid)) topicOf.set(msgid, topic);
    await db.wave([...new Set(rows.map(({ topic }) => topic))], (topic) => enter(db, 'mqtt_topic', topic));
    await db.wave(rows, async (row) => {
      if (topicOf.get(row.msgid) === row.topic) await enterId(db, row.msgid, row.topic);
      else await rename(db, row, timestamp);
    });
  }
}

async function rename(db: Database, { topic, msgid, arrived }: MsgKey, timestamp: number): Promise<void> {
  const id = newId(topic, msgid, arrived);
  const [row] = await db.rows<MessageRow>(`SELECT ${COLUMNS}, retain FROM mqtt_msg WHERE topic = ? AND msgid = ?`, [topic, msgid]);
  if (row === undefined) return;
  await db.write(
    `INSERT INTO mqtt_msg (topic, msgid, msgid_before, arrived, payload, qos, retain, sender, payload_bin, username, properties, published_at, expires_at)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    [
      topic,
      id,
      msgid,
      row.arrived,
      row.payload,
      row.qos,
      row.retain,
      row.sender,
      row.payload_bin,
      row.username,
      row.properties,
      row.published_at,
      row.expires_at,
    ],
    timestamp,
  );
  await enterId(db, id, topic);
  await db.write('DELETE FROM mqtt_msg WHERE topic = ? AND msgid = ?', [topic, msgid]);
}

/**
 * 16 hex digits of microseconds, like the beginning of EMQX's own ids, and 16 digits that are always the same for one
 * message.
 */
function newId(topic: string, msgid: string, arrived: Date | null): string {
  const microseconds = BigInt(Math.max(0, arrived?.getTime() ?? 0)) * 1_000n;
  const rest = createHash('sha256')
    .update(JSON.stringify([topic, msgid]))
    .digest('hex')
    .slice(0, 16);
  return `${microseconds.toString(16).padStart(16, '0')}${rest}`.toUpperCase();
}

const enterId = (db: Database, msgid: string, topic: string): Promise<void> =>
  db.write('INSERT INTO mqtt_msg_id (msgid, topic) VALUES (?, ?)', [msgid, topic]);

const enter = (db: Database, table: 'mqtt_topic' | 'mqtt_retain_topic', topic: string): Promise<void> =>
  db.write(`INSERT INTO ${table} (shard, topic, saved_at) VALUES (?, ?, ?)`, [shardOf(topic), topic, new Date()]);

async function takeClients(db: Database, holdOn: HoldOn): Promise<void> {
  for await (const rows of db.pages<{ topic: string; msgid: string | null; published_at: Parameters<typeof toNumber>[0] }>(
    'SELECT topic, msgid, published_at FROM retain',
    [],
    PAGE,
  )) {
    await holdOn(rows.length);
    await db.wave(rows, async ({ topic, msgid, published_at: publishedAt }) => {
      await enter(db, 'mqtt_retain_topic', topic);
      if (msgid !== null && toNumber(publishedAt) === null) await copyRetained(db, topic, msgid);
    });
  }
  for await (const rows of db.pages<{ topic: string; clientid: string }>('SELECT topic, clientid FROM acked', [], PAGE)) {
    await holdOn(rows.length);
    await db.wave(rows, ({ topic, clientid }) => enterConsumer(db, topic, clientid));
  }
}

/** EMQX's row only refers to the message, which an acknowledgement deletes. So the message is copied. */
async function copyRetained(db: Database, topic: string, msgid: string): Promise<void> {
  const [row] = await db.rows<MessageRow>(`SELECT ${COLUMNS} FROM mqtt_msg WHERE topic = ? AND msgid = ?`, [topic, msgid]);
  if (row === undefined) return;
  await db.conditionally(
    `UPDATE retain SET sender = ?, qos = ?, payload = ?, payload_bin = ?, username = ?, properties = ?, arrived = ?, published_at = ?, expires_at = ?
     WHERE topic = ? IF msgid = ?`,
    [
      ...[row.sender, row.qos, row.payload, row.payload_bin, row.username, row.properties, row.arrived],
      ...[toNumber(row.published_at) ?? row.arrived?.getTime() ?? 0, row.expires_at, topic, msgid],
    ],
  );
}
