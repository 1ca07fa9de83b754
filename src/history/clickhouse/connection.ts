import { ClickHouseLogLevel, createClient, type ClickHouseClient } from '@clickhouse/client';
import { tlsOf } from '../../config/tls';
import { authorityOf, type ServiceUrl } from '../../config/url';
import { ClosedError, errorText, RefusedError, RetryableError } from '../../base/errors';
import { clip, explainConnection } from '../shared/explain';
import { databaseOf, onlyHost, SETTING } from '../shared/settings';

const PORT = 8123;

/**
 * Error codes that concern the content of a row: 6, 26, 27, 53, 72, 117 and 349 for a value that a column does not
 * accept (the operator changed it), 395 for throwIf() in an operator's view, 469 for a CONSTRAINT.
 */
const REFUSALS = new Set([6, 26, 27, 53, 72, 117, 349, 395, 469]);

const ADVICE: Readonly<Record<number, string>> = {
  60: 'run "emqx-offline-store migrate"',
  81: 'create the database first',
  192: 'check user and password',
  193: 'check user and password',
  194: 'check user and password',
  497: 'the user needs more rights',
  516: 'check user and password',
};

/**
 * Statements and rows for one ClickHouse server. Errors are the server's own kinds. Values are never inserted into a
 * statement's text.
 */
export class Connection {
  readonly database: string;
  /** The product and its address, as messages show it. */
  readonly shown: string;
  private readonly client: ClickHouseClient;
  private closed = false;

  constructor(url: ServiceUrl) {
    const { host, port } = onlyHost(url);
    const tls = tlsOf(url, SETTING);
    this.database = databaseOf(url);
    const authority = authorityOf({ host, port: port ?? PORT });
    this.shown = `ClickHouse at ${authority}`;
    this.client = createClient({
      url: `${tls === null ? 'http' : 'https'}://${authority}`,
      username: url.user ?? 'default',
      password: url.password ?? '',
      database: this.database,
      ...(tls?.ca === undefined ? {} : { tls: { ca_cert: tls.ca } }),
      // Errors are thrown, so the client need not print them as well.
      log: { level: ClickHouseLogLevel.OFF },
    });
  }

  command(query: string): Promise<void> {
    return this.run(async () => void (await this.client.command({ query })));
  }

  rows<R>(query: string): Promise<R[]> {
    return this.run(async () => (await this.client.query({ query, format: 'JSONEachRow' })).json<R>());
  }

  insert(table: string, rows: readonly object[]): Promise<void> {
    return this.run(async () => void (await this.client.insert({ table, values: [...rows], format: 'JSONEachRow' })));
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.client.close();
  }

  checkOpen(): void {
    if (this.closed) throw new ClosedError('the history is closed');
  }

  private async run<T>(work: () => Promise<T>): Promise<T> {
    this.checkOpen();
    try {
      return await work();
    } catch (error) {
      throw this.mapError(error);
    }
  }

  private mapError(error: unknown): Error {
    const code = codeOf(error);
    if (code === null) return new RetryableError(explainConnection(error, this.shown), { cause: error });
    const text = `ClickHouse: ${clip(errorText(error))} (code ${code})`;
    if (REFUSALS.has(code)) return new RefusedError(text, { cause: error });
    const advice = ADVICE[code];
    return new RetryableError(advice === undefined ? text : `${text}: ${advice}`, { cause: error });
  }
}

/** The server's error code; null if the server did not answer. Servers of 2018 write it only into the text. */
function codeOf(error: unknown): number | null {
  const code: unknown = (error as { code?: unknown }).code;
  if (typeof code === 'string' && /^\d+$/.test(code)) return Number(code);
  const inText = /^Code: (\d+),/.exec(errorText(error))?.[1];
  return inText === undefined ? null : Number(inText);
}
