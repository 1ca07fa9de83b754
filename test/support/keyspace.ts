import { Client } from 'cassandra-driver';
import { parseServiceUrl } from '../../src/config/url';
import { cassandraSettings, type CassandraSettings } from '../../src/stores/cassandra/settings';

/** How a store on this URL is opened. */
export const settingsOf = (url: string): CassandraSettings => cassandraSettings(parseServiceUrl(url, ['cassandra']));

/** A client of the driver's own, for what tests prepare and look at. Without a keyspace when there is none yet. */
export function cassandraClient(url: string, keyspace?: string): Client {
  const { contactPoints, datacenter } = settingsOf(url);
  return new Client({
    ...{ contactPoints: [...contactPoints], localDataCenter: datacenter, socketOptions: { readTimeout: 60_000 } },
    ...(keyspace === undefined ? {} : { keyspace }),
  });
}

/** Makes an empty Cassandra keyspace on the server and @returns its URL. */
export async function emptyKeyspace(server: string, name: string): Promise<string> {
  const client = cassandraClient(server);
  await client.execute(`DROP KEYSPACE IF EXISTS ${name}`);
  await client.execute(`CREATE KEYSPACE ${name} WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`);
  await client.shutdown();
  const url = new URL(server);
  url.pathname = `/${name}`;
  return url.href;
}

export async function dropKeyspace(server: string, name: string): Promise<void> {
  const client = cassandraClient(server);
  await client.execute(`DROP KEYSPACE IF EXISTS ${name}`);
  await client.shutdown();
}
