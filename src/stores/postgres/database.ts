import knex, { type Knex } from 'knex';
import type { Client, ClientConfig } from 'pg';
import { ClosedError } from '../../base/errors';
import { POOL, PooledConnections, QUIET, type Pooled } from '../shared/knex';
import type { BoundStatement, StatementResult, StatementRunner } from '../shared/operator';
import type { Value } from '../../config/statements';
import { isReadOnly, mapError, statementRefusal } from './errors';

/** The time limit of a statement (ms), which is about one batch or page. */
const QUERY_TIMEOUT_MS = 15_000;
/** Building an index on a table that is taken over takes as long as the table is large. */
const NO_TIMEOUT = { query_timeout: 24 * 60 * 60 * 1_000 };

/** Runs one statement, or several without bindings, in a transaction. */
export type Run = (sql: string) => Promise<{ rows: Record<string, unknown>[] }>;

/** Runs statements on one PostgreSQL database. Errors are the server's own kinds. */
export class Database implements StatementRunner {
  private readonly knex: Knex;
  private readonly connections: PooledConnections<PooledClient>;
  private closed = false;

  constructor(
    connection: ClientConfig,
    private readonly product: string,
  ) {
    this.knex = knex({
      ...QUIET,
      client: 'pg',
      // A function, because knex would otherwise make a deep copy of the configuration, including its TLS objects.
      connection: () =>
        ({ connectionTimeoutMillis: 5_000, query_timeout: QUERY_TIMEOUT_MS, keepAlive: true, ...connection }) as Knex.PgConnectionConfig,
      pool: { ...POOL, afterCreate: (client: PooledClient, done: () => void) => this.remember(client, done) },
    });
    const isSilence = (error: Error) => error.message.endsWith('Query read timeout');
    this.connections = new PooledConnections(this.knex, isSilence, ({ connection: { stream } }) => stream.destroy(), isReadOnly);
  }

  async rows<R>(sql: string, bindings: Record<string, unknown> = {}): Promise<R[]> {
    this.checkOpen();
    try {
      const { rows } = await this.knex.raw<{ rows: R[] }>(sql, bindings as Knex.ValueDict);
      return rows;
    } catch (error) {
      throw mapError(error, this.product);
    }
  }

  async statement(sql: string, values: readonly Value[]): Promise<StatementResult> {
    return this.positional(this.knex, sql, values);
  }

  async refusalOf(sql: string, values: readonly Value[]): Promise<string | null> {
    this.checkOpen();
    try {
      await this.knex.raw(`EXPLAIN ${sql}`, values as Knex.Value[]);
      return null;
    } catch (error) {
      const refusal = statementRefusal(error);
      if (refusal === null) throw mapError(error, this.product);
      return refusal;
    }
  }

  async atomically(statements: readonly BoundStatement[]): Promise<void> {
    this.checkOpen();
    await this.knex
      .transaction(async (trx) => {
        for (const { sql, values } of statements) await this.positional(trx, sql, values);
      })
      .catch((error: unknown) => {
        throw mapError(error, this.product);
      });
  }

  private async positional(on: Knex, sql: string, values: readonly Value[]): Promise<StatementResult> {
    this.checkOpen();
    try {
      const { rows, rowCount } = await on.raw<{ rows: Record<string, unknown>[]; rowCount: number | null }>(sql, values as Knex.Value[]);
      return { rows, affected: rowCount ?? 0 };
    } catch (error) {
      throw mapError(error, this.product);
    }
  }

  async transaction<T>(work: (run: Run) => Promise<T>): Promise<T> {
    this.checkOpen();
    try {
      // knex takes a question mark for a binding, so it is escaped.
      return await this.knex.transaction((trx) => work((sql) => trx.raw(sql.replace(/\?/g, '\\?')).options(NO_TIMEOUT)));
    } catch (error) {
      throw mapError(error, this.product);
    }
  }

  private checkOpen(): void {
    if (this.closed) throw new ClosedError('the store is closed');
  }

  private remember(client: PooledClient, done: () => void): void {
    this.connections.remember(client);
    done();
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await this.knex.destroy();
  }
}

/** pg's types leave out the socket. */
type PooledClient = Client & Pooled & { readonly connection: { readonly stream: { destroy(): void } } };
