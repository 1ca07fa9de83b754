import { createClient, type ClickHouseClient } from '@clickhouse/client';
import { parseServiceUrl } from '../../src/config/url';
import { ClickHouseStore } from '../../src/stores/clickhouse';

export const openClickHouse = (url: string): ClickHouseStore => new ClickHouseStore(parseServiceUrl(url, ['clickhouse']));

/** A client of the tests' own on the database of the URL. */
export function clickHouseClient(url: string): ClickHouseClient {
  const { hosts, user, password, path } = parseServiceUrl(url, ['clickhouse']);
  const [host] = hosts;
  return createClient({ url: `http://${host?.host}:${host?.port}`, username: user ?? '', password: password ?? '', database: path });
}

/** Makes an empty database on the server and @returns its URL. */
export async function emptyClickHouse(server: string, name: string): Promise<string> {
  const client = clickHouseClient(server);
  await client.command({ query: `DROP DATABASE IF EXISTS ${name}` });
  await client.command({ query: `CREATE DATABASE ${name}` });
  await client.close();
  return Object.assign(new URL(server), { pathname: `/${name}` }).href;
}
