import { DynamoDB } from '@aws-sdk/client-dynamodb';
import { createClient } from '@clickhouse/client';
import { Client as CassandraClient, concurrent } from 'cassandra-driver';
import { Redis } from 'ioredis';
import { MongoClient } from 'mongodb';
import { createPool } from 'mysql2/promise';
import { Client as PgClient } from 'pg';
import { parseServiceUrl } from '../src/config/url';
import type { Message } from '../src/mqtt/message';
import type { StoreName } from '../test/support/empty-store';

/** The client library's own way to insert many rows, into a table of its own. */
export interface Plain {
  readonly insert: (messages: readonly Message[]) => Promise<unknown>;
  readonly close: () => Promise<unknown>;
}

const TABLE = 'plain_msg';

const values = ({ id, topic, clientid, qos, retain, payload, publishReceivedAt, expiresAt }: Message) =>
  [id, topic, clientid, qos, retain ? 1 : 0, payload, publishReceivedAt, expiresAt] as const;

const row = (message: Message) => {
  const [msgid, topic, sender, qos, retain, payload, arrived, expires_at] = values(message);
  return { msgid, topic, sender, qos, retain, payload: payload.toString(), arrived, expires_at };
};

async function postgres(url: string): Promise<Plain> {
  const client = new PgClient({ connectionString: url.replace(/^timescale/, 'postgres') });
  await client.connect();
  await client.query(
    `CREATE TABLE ${TABLE} (msgid text, topic text, sender text, qos int, retain int, payload text, arrived bigint, expires_at bigint)`,
  );
  return {
    insert: (messages) =>
      client.query(
        `INSERT INTO ${TABLE} VALUES ${messages.map((_, i) => `(${Array.from({ length: 8 }, (__, j) => `$${i * 8 + j + 1}`).join()})`).join()}`,
        messages.flatMap((message) => Object.values(row(message))),
      ),
    close: () => client.end(),
  };
}

async function mysql(url: string): Promise<Plain> {
  const pool = createPool(url);
  await pool.query(
    `CREATE TABLE ${TABLE} (msgid varchar(64), topic text, sender text, qos int, retain int, payload longblob, arrived bigint, expires_at bigint)`,
  );
  return {
    insert: (messages) => pool.query(`INSERT INTO ${TABLE} VALUES ?`, [messages.map((message) => [...values(message)])]),
    close: () => pool.end(),
  };
}

async function redis(url: string): Promise<Plain> {
  const { hosts, params } = parseServiceUrl(url, ['redis']);
  const client = new Redis({ host: hosts[0]!.host, port: hosts[0]!.port! });
  const prefix = params['prefix'] ?? '';
  return {
    insert: (messages) => {
      const pipeline = client.pipeline();
      for (const message of messages) pipeline.hset(`${prefix}:${TABLE}:${message.id}`, row(message));
      return pipeline.exec();
    },
    close: async () => client.disconnect(),
  };
}

async function mongodb(url: string): Promise<Plain> {
  const client = await MongoClient.connect(url);
  const collection = client.db().collection(TABLE);
  return { insert: (messages) => collection.insertMany(messages.map(row)), close: () => client.close() };
}

async function cassandra(url: string): Promise<Plain> {
  const { hosts, path: keyspace, params } = parseServiceUrl(url, ['cassandra']);
  const contactPoints = hosts.map(({ host, port }) => `${host}:${port ?? 9042}`);
  const client = new CassandraClient({ contactPoints, keyspace, localDataCenter: params['dc'] ?? '' });
  await client.execute(
    `CREATE TABLE ${TABLE} (msgid text PRIMARY KEY, topic text, sender text, qos int, retain int, payload blob, arrived bigint, expires_at bigint)`,
  );
  const insert = `INSERT INTO ${TABLE} (msgid, topic, sender, qos, retain, payload, arrived, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`;
  return {
    insert: (messages) =>
      concurrent.executeConcurrent(
        client,
        insert,
        messages.map((message) => [...values(message)]),
        { concurrencyLevel: 256 },
      ),
    close: () => client.shutdown(),
  };
}

async function clickhouse(url: string): Promise<Plain> {
  const { hosts, user, password, path: database } = parseServiceUrl(url, ['clickhouse']);
  const client = createClient({
    url: `http://${hosts[0]!.host}:${hosts[0]!.port}`,
    username: user ?? '',
    password: password ?? '',
    database,
  });
  await client.command({
    query: `CREATE TABLE ${TABLE} (msgid String, topic String, sender String, qos Int8, retain Int8, payload String, arrived Int64, expires_at Int64) ENGINE = MergeTree ORDER BY msgid`,
  });
  return {
    insert: (messages) => client.insert({ table: TABLE, values: messages.map(row), format: 'JSONEachRow' }),
    close: () => client.close(),
  };
}

async function dynamodb(url: string): Promise<Plain> {
  const { params } = parseServiceUrl(url, ['dynamodb']);
  const db = new DynamoDB({
    region: 'us-east-1',
    endpoint: params['endpoint']!,
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  });
  const table = `${params['prefix']}${TABLE}`;
  await db.createTable({
    TableName: table,
    BillingMode: 'PAY_PER_REQUEST',
    AttributeDefinitions: [{ AttributeName: 'msgid', AttributeType: 'S' }],
    KeySchema: [{ AttributeName: 'msgid', KeyType: 'HASH' }],
  });
  const put = (message: Message) => ({
    PutRequest: {
      Item: Object.fromEntries(
        Object.entries(row(message)).map(([name, value]) => [
          name,
          typeof value === 'number' ? { N: String(value) } : { S: String(value) },
        ]),
      ),
    },
  });
  return {
    insert: (messages) => {
      const chunks = Array.from({ length: Math.ceil(messages.length / 25) }, (_, i) => messages.slice(i * 25, i * 25 + 25));
      return Promise.all(chunks.map((chunk) => db.batchWriteItem({ RequestItems: { [table]: chunk.map(put) } })));
    },
    close: async () => db.destroy(),
  };
}

export const PLAIN: Partial<Record<StoreName, (url: string) => Promise<Plain>>> = {
  ...{
    postgres,
    timescale: postgres,
    mysql,
    mariadb: mysql,
    redis,
    mongodb,
    cassandra,
    clickhouse,
    'clickhouse-current': clickhouse,
    dynamodb,
  },
};
