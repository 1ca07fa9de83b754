import { createClient, ClickHouseLogLevel, type ClickHouseClient } from '@clickhouse/client';
import { tlsOf } from '../../config/tls';
import { authorityOf, type ServiceUrl } from '../../config/url';
import { ClosedError, SettingError } from '../../base/errors';
import { mapError, serverError } from './errors';

const SETTING = 'STORE_URL';
const QUERY_TIMEOUT_MS = 60_000;
/** Copying a table that is taken over takes as long as the table is large (ms). */
const LONG_MS = 24 * 60 * 60 * 1_000;

export type Settings = Readonly<Record<string, string | number>>;

/** Every server since 18.16 knows these settings. */
const SETTINGS: Settings = {
  // The server answers when the result is complete, so that a late error is reported as an error and not taken for the
  // end of the rows.
  wait_end_of_query: 1,
  output_format_json_quote_64bit_integers: 0,
  // Statements contain the keys that they ask for, and so may be long.
  max_query_size: 16 * 1_048_576,
};
/** Sent only to servers that know them. An insert is complete when it is answered, and a mutation is not waited for. */
const WHERE_KNOWN: Settings = { async_insert: 0, mutations_sync: 0 };

/** A row to insert, by column. */
export type Row = Readonly<Record<string, string | number | null | readonly string[]>>;

/** Runs statements on one ClickHouse database over HTTP. Errors are the server's own kinds. No session is needed. */
export class Client {
  readonly database: string;
  private readonly client: ClickHouseClient;
  private readonly patient: ClickHouseClient;
  private known: Promise<Settings> | null = null;
  private closed = false;

  constructor(url: ServiceUrl) {
    const unknown = Object.keys(url.params).filter((name) => name !== 'tls' && name !== 'ca');
    if (unknown.length > 0) throw new SettingError(SETTING, `${unknown.join(', ')} is unknown; known are tls and ca`);
    const [host, another] = url.hosts;
    if (host === undefined || another !== undefined)
      throw new SettingError(SETTING, 'clickhouse:// takes one host (several: put a load balancer in front)');
    const tls = tlsOf(url, SETTING);
    this.database = url.path === '' ? 'default' : url.path;
    const options = {
      url: `${tls === null ? 'http' : 'https'}://${authorityOf({ host: host.host, port: host.port ?? (tls === null ? 8123 : 8443) })}`,
      ...{ username: url.user ?? 'default', password: url.password ?? '', database: this.database, application: 'emqx-offline-store' },
      ...(tls?.ca === undefined ? {} : { tls: { ca_cert: tls.ca } }),
      // Errors are thrown, so the client need not print them as well.
      log: { level: ClickHouseLogLevel.OFF },
    };
    this.client = createClient({ ...options, request_timeout: QUERY_TIMEOUT_MS });
    this.patient = createClient({ ...options, request_timeout: LONG_MS, max_open_connections: 2 });
  }

  async rows<R>(query: string, settings: Settings = {}): Promise<R[]> {
    const clickhouse_settings = { ...SETTINGS, ...settings };
    return this.mapped(async () => (await this.client.query({ query, format: 'JSONEachRow', clickhouse_settings })).json<R>());
  }

  /** The first column of the only row. */
  async count(query: string): Promise<number> {
    const [row] = await this.rows<Record<string, number>>(query);
    return Number(Object.values(row ?? {})[0] ?? 0);
  }

  /** All rows become visible at once, unless they exceed 256 MB. All rows must have the same columns. */
  async insert(table: string, values: readonly Row[]): Promise<void> {
    const [first] = values;
    if (first === undefined) return;
    // Old servers give a column that is missing in a row an empty value, but a column that is missing in the statement
    // its default.
    const columns = Object.keys(first) as [string, ...string[]];
    const clickhouse_settings = { ...SETTINGS, ...(await this.settings()) };
    await this.mapped(() => this.client.insert({ table, columns, values: [...values], format: 'JSONEachRow', clickhouse_settings }), true);
  }

  /** Runs a statement without rows, which may take long. */
  async command(query: string): Promise<void> {
    const clickhouse_settings = { ...SETTINGS, ...(await this.settings()) };
    await this.mapped(() => this.patient.command({ query, clickhouse_settings }));
  }

  /** The newer settings that the server knows. */
  private settings(): Promise<Settings> {
    this.known ??= this.askSettings().catch((error: unknown) => {
      this.known = null;
      throw error;
    });
    return this.known;
  }

  private async askSettings(): Promise<Settings> {
    const names = Object.keys(WHERE_KNOWN).map((name) => `'${name}'`);
    const rows = await this.rows<{ name: string }>(`SELECT name FROM system.settings WHERE name IN (${names.join(', ')})`);
    return Object.fromEntries(Object.entries(WHERE_KNOWN).filter(([name]) => rows.some((row) => row.name === name)));
  }

  private async mapped<T>(work: () => Promise<T>, insert = false): Promise<T> {
    if (this.closed) throw new ClosedError('the store is closed');
    try {
      return await work();
    } catch (error) {
      throw mapError(error, insert);
    }
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await Promise.all([this.client.close(), this.patient.close()]);
  }
}

/** The server's error code behind a mapped error; null if there is none. */
export const codeOf = (error: unknown): number | null => serverError((error as { cause?: unknown }).cause)?.code ?? null;
