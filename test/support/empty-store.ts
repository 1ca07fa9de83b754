import { TestTables } from '../stores/dynamodb-tables';
import type { BackendName } from './backends';
import { emptyClickHouse } from './clickhouse';
import { emptyDatabase } from './database';
import { dropKeyspace, emptyKeyspace } from './keyspace';
import { emptyMongo } from './mongo';
import { emptyMysql, inMysql } from './mysql';
import { removeKeys } from './redis';

export interface EmptyStore {
  /** STORE_URL */
  readonly url: string;
  readonly drop: () => Promise<void>;
}

type MakeEmpty = (server: string, name: string) => Promise<EmptyStore>;

const nothing = async (): Promise<void> => undefined;

const redis: MakeEmpty = async (server, name) => ({
  url: `${server}${server.includes('?') ? '&' : '?'}prefix=${name}`,
  drop: () => removeKeys(server, name),
});
const mysql: MakeEmpty = async (server, name) => ({
  url: (await emptyMysql(server, name)).href(),
  drop: () => inMysql(server, `DROP DATABASE ${name}`).then(() => undefined),
});
const clickhouse: MakeEmpty = async (server, name) => ({ url: await emptyClickHouse(server, name), drop: nothing });

/** A place with nothing in it on every kind of database that can be a store, by the name of the test server. */
export const EMPTY_STORES = {
  postgres: async (server: string, name: string) => ({ url: await emptyDatabase(server, name), drop: nothing }),
  timescale: async (server: string, name: string) => {
    const url = await emptyDatabase(server.replace(/^timescale/, 'postgres'), name);
    return { url: url.replace(/^postgres/, 'timescale'), drop: nothing };
  },
  mysql,
  mariadb: mysql,
  redis,
  'redis-cluster': redis,
  'redis-sentinel': redis,
  mongodb: async (server: string, name: string) => ({ url: await emptyMongo(server, name), drop: nothing }),
  cassandra: async (server: string, name: string) => ({ url: await emptyKeyspace(server, name), drop: () => dropKeyspace(server, name) }),
  clickhouse,
  'clickhouse-current': clickhouse,
  dynamodb: async (server: string, name: string) => {
    const tables = new TestTables(server, `${name}_`);
    return { url: tables.url(), drop: () => tables.drop() };
  },
} satisfies Partial<Record<BackendName, MakeEmpty>>;

export type StoreName = keyof typeof EMPTY_STORES;
