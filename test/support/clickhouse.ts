import { createClient, type ClickHouseClient } from '@clickhouse/client';
import { parseServiceUrl, type ServiceUrl } from '../../src/config/url';
import { ClickHouseStore } from '../../src/stores/clickhouse';
import type { BackendName } from './backends';

/** The oldest server that is tested and the newest; both pass all tests. */
export const CLICKHOUSES: readonly [BackendName, string][] = [
  ['clickhouse', 'ClickHouse 18.16'],
  ['clickhouse-current', 'the current ClickHouse'],
];

export const clickHouseUrl = (url: string): ServiceUrl => parseServiceUrl(url, ['clickhouse']);
export const openClickHouse = (url: string): ClickHouseStore => new ClickHouseStore(clickHouseUrl(url));

/** A client for the tests on the database of the URL. */
export class Sql {
  private readonly client: ClickHouseClient;

  constructor(url: string) {
    const { hosts, user, password, path } = clickHouseUrl(url);
    const [host] = hosts;
    this.client = createClient({
      url: `http://${host?.host}:${host?.port}`,
      username: user ?? '',
      password: password ?? '',
      database: path,
    });
  }

  /** Runs the statements one after the other. A statement ends with a semicolon at the end of a line. */
  async run(statements: string): Promise<void> {
    for (const query of statements.split(/;\s*(?:\n|$)/)) if (query.trim() !== '') await this.client.command({ query });
  }

  async rows<R>(query: string): Promise<R[]> {
    const settings = { output_format_json_quote_64bit_integers: 0 as const };
    return (await this.client.query({ query, format: 'JSONEachRow', clickhouse_settings: settings })).json<R>();
  }

  /** How many rows the server reads for the query. */
  async read(query: string, settings: Readonly<Record<string, string | number>> = {}): Promise<number> {
    const answer = await this.client.query({ query, format: 'JSON', clickhouse_settings: { ...settings, max_query_size: '10000000' } });
    return (await answer.json()).statistics?.rows_read ?? 0;
  }

  async count(table: string): Promise<number> {
    return (await this.rows<{ n: number }>(`SELECT count() AS n FROM ${table}`))[0]?.n ?? 0;
  }

  close(): Promise<void> {
    return this.client.close();
  }
}

/** Makes an empty database on the server and @returns its URL. */
export async function emptyClickHouse(server: string, name: string): Promise<string> {
  const sql = new Sql(server);
  await sql.run(`DROP DATABASE IF EXISTS ${name};\nCREATE DATABASE ${name}`);
  await sql.close();
  return Object.assign(new URL(server), { pathname: `/${name}` }).href;
}
