import { RefusedError } from '../../base/errors';
import type { Database } from './database';

interface Column {
  readonly table_name: string;
  readonly column_name: string;
  readonly type: string;
  readonly kind: 'partition_key' | 'clustering' | 'regular' | 'static';
}

interface Expected {
  /** Name and type of each column, in order. A present table must have these columns. */
  readonly partition: Readonly<Record<string, string>>;
  readonly clustering?: Readonly<Record<string, string>>;
  readonly regular: Readonly<Record<string, string>>;
  /** The columns that the server adds. */
  readonly ours?: Readonly<Record<string, string>>;
}

const CONTENT = { payload_bin: 'blob', username: 'text', properties: 'text', published_at: 'bigint', expires_at: 'bigint' };

/** The tables of migrations/cassandra. */
const EXPECTED: Readonly<Record<string, Expected>> = {
  mqtt_msg: {
    partition: { topic: 'text' },
    clustering: { msgid: 'text' },
    regular: { arrived: 'timestamp', payload: 'text', qos: 'int', retain: 'int', sender: 'text' },
    ours: { ...CONTENT, msgid_before: 'text' },
  },
  mqtt_msg_id: { partition: { msgid: 'text' }, regular: { topic: 'text' } },
  mqtt_tombstone: { partition: { msgid: 'text' }, regular: { expires_at: 'bigint' } },
  mqtt_topic: { partition: { shard: 'int' }, clustering: { topic: 'text' }, regular: { saved_at: 'timestamp' } },
  mqtt_msg_expiry: { partition: { bucket: 'bigint' }, clustering: { expires_at: 'bigint', msgid: 'text' }, regular: { topic: 'text' } },
  mqtt_msg_expiry_bucket: { partition: { shard: 'int' }, clustering: { bucket: 'bigint' }, regular: {} },
  mqtt_removed: { partition: { topic: 'text' }, clustering: { msgid: 'text' }, regular: { expires_at: 'bigint' } },
  mqtt_expiry: { partition: { bucket: 'bigint' }, clustering: { due_at: 'bigint', part: 'uuid' }, regular: { messages: 'text' } },
  mqtt_expiry_bucket: { partition: { shard: 'int' }, clustering: { bucket: 'bigint' }, regular: {} },
  client: {
    partition: { clientid: 'text' },
    regular: { node: 'text', state: 'int', connected: 'timestamp', disconnected: 'timestamp' },
    ours: { changed_at: 'bigint' },
  },
  sub: { partition: { clientid: 'text' }, clustering: { topic: 'text' }, regular: { qos: 'int' } },
  retain: {
    partition: { topic: 'text' },
    regular: { msgid: 'text' },
    ours: { ...CONTENT, sender: 'text', qos: 'int', payload: 'text', arrived: 'timestamp' },
  },
  mqtt_retain_topic: { partition: { shard: 'int' }, clustering: { topic: 'text' }, regular: { saved_at: 'timestamp' } },
  acked: {
    partition: { clientid: 'text' },
    clustering: { topic: 'text' },
    regular: { msgid: 'text' },
    ours: { receipts: 'text', version: 'bigint' },
  },
  mqtt_acked_topic: { partition: { topic: 'text' }, clustering: { clientid: 'text' }, regular: { saved_at: 'timestamp' } },
  mqtt_offline_migration: { partition: { version: 'int' }, regular: { name: 'text', applied_at: 'timestamp' } },
};

/**
 * Rejects tables that only have the names of EMQX's tables or of the server's.
 * @throws RefusedError with the reason
 */
export async function checkTables(db: Database): Promise<void> {
  const views = await db.rows<{ view_name: string }>('SELECT view_name FROM system_schema.views WHERE keyspace_name = ?', [db.keyspace]);
  const columns = await db.rows<Column>('SELECT table_name, column_name, type, kind FROM system_schema.columns WHERE keyspace_name = ?', [
    db.keyspace,
  ]);
  const view = views.find(({ view_name: name }) => name in EXPECTED);
  const found = Object.entries(EXPECTED).flatMap(([table, expected]) => {
    const own = columns.filter(({ table_name: name }) => name === table);
    return own.length === 0 ? [] : problemsOf(table, expected, new Map(own.map((column) => [column.column_name, column])));
  });
  const problem = view === undefined ? found[0] : `${view.view_name} is a materialized view, not a table`;
  if (problem !== undefined) throw new RefusedError(`the tables cannot be taken over: ${problem}; nothing was changed`);
}

function problemsOf(
  table: string,
  { partition, clustering = {}, regular, ours = {} }: Expected,
  columns: ReadonlyMap<string, Column>,
): string[] {
  const required = Object.entries({ ...partition, ...clustering, ...regular });
  const missing = required
    .filter(([name]) => !columns.has(name))
    .map(([name]) => `${table} has no column ${name}${renamed(table, name, columns)}`);
  const types = [...required, ...Object.entries(ours)].flatMap(([name, type]) => {
    const actual = columns.get(name)?.type ?? type;
    return actual === type ? [] : [`${table}.${name} is ${actual}, expected ${type}`];
  });
  const keys = [...columns.values()].flatMap(({ column_name: name, kind }) => {
    const expected = name in partition ? 'partition_key' : name in clustering ? 'clustering' : 'regular';
    return kind === expected ? [] : [`${table}.${name} is ${TEXT[kind]}, expected ${TEXT[expected]}`];
  });
  return [...missing, ...types, ...keys];
}

const TEXT = { partition_key: 'in the partition key', clustering: 'a clustering column', regular: 'outside the key', static: 'static' };

/** EMQX's documentation used both spellings. */
function renamed(table: string, name: string, columns: ReadonlyMap<string, Column>): string {
  return name === 'clientid' && columns.has('client_id') ? `, run: ALTER TABLE ${table} RENAME client_id TO clientid` : '';
}
