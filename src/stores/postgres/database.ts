import knex, { type Knex } from 'knex';
import type { ClientConfig } from 'pg';
import { ClosedError } from '../../errors';
import { mapError } from './errors';

const ignore = (): void => undefined;

/** Statements against one PostgreSQL database; errors come out as ours. No session state: the embedded database has one session for all. */
export class Database {
  private readonly knex: Knex;
  private closed = false;

  constructor(connection: ClientConfig) {
    this.knex = knex({
      client: 'pg',
      // A function: knex would otherwise copy the configuration deeply, and with it the embedded database.
      connection: () => ({ connectionTimeoutMillis: 5_000, query_timeout: 60_000, keepAlive: true, ...connection }) as Knex.PgConnectionConfig,
      pool: { min: 0, max: 10 },
      acquireConnectionTimeout: 10_000,
      // Payloads and client ids don't belong into error messages.
      compileSqlOnError: false,
      // What goes wrong is thrown; knex would print it as well.
      log: { warn: ignore, error: ignore, deprecate: ignore, debug: ignore },
    });
  }

  async rows<R>(sql: string, bindings: Record<string, unknown> = {}): Promise<R[]> {
    this.checkOpen();
    try {
      const { rows } = await this.knex.raw<{ rows: R[] }>(sql, bindings as Knex.ValueDict);
      return rows;
    } catch (error) {
      throw mapError(error);
    }
  }

  async transaction<T>(work: (run: (sql: string) => Promise<{ rows: Record<string, unknown>[] }>) => Promise<T>): Promise<T> {
    this.checkOpen();
    try {
      return await this.knex.transaction((trx) => work((sql) => trx.raw(sql)));
    } catch (error) {
      throw mapError(error);
    }
  }

  private checkOpen(): void {
    if (this.closed) throw new ClosedError('the store is closed');
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await this.knex.destroy();
  }
}
