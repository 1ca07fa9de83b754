import knex, { type Knex } from 'knex';
import type { ConnectionOptions } from 'mysql2';
import { ClosedError } from '../../base/errors';
import { POOL, PooledConnections, QUIET, type Pooled } from '../shared/knex';
import type { BoundStatement, StatementResult, StatementRunner } from '../shared/operator';
import type { Value } from '../../config/statements';
import { isDeadlock, isReadOnly, isSilence, mapError, statementRefusal } from './errors';

const CONNECT_TIMEOUT_MS = 5_000;
/** The time limit of a statement (ms), which is about one batch or page. */
const QUERY_TIMEOUT_MS = 15_000;
/** Rebuilding a table that is taken over takes as long as the table is large (ms). */
const MIGRATION_TIMEOUT_MS = 24 * 60 * 60 * 1_000;
const DEADLOCK_TRIES = 10;
/** A second limit besides max_allowed_packet, because a statement is a text in the server's memory. */
const MAX_STATEMENT_BYTES = 16 * 1024 * 1024;
/** The bytes that a statement needs besides its values. */
const STATEMENT_OVERHEAD_BYTES = 64 * 1024;

export interface DatabaseOptions {
  /** A connection without any answer for this long (ms) is closed. */
  readonly queryTimeoutMs?: number;
}

export type Binding = string | number | Buffer | null | readonly (string | number | Buffer)[];

interface Outcome {
  readonly affectedRows?: number;
}

/** Runs statements on one connection. */
export type Run = <R>(sql: string, bindings?: readonly Binding[]) => Promise<R[]>;

/**
 * Runs statements on one MySQL or MariaDB database. Errors are the server's own kinds. Bindings are `?`; a list becomes
 * `a, b, c`.
 */
export class Database implements StatementRunner {
  private readonly knex: Knex;
  private readonly connections: PooledConnections<PooledConnection>;
  private readonly queryTimeoutMs: number;
  private maxPacket: number | null = null;
  private closed = false;

  constructor(connection: ConnectionOptions, { queryTimeoutMs = QUERY_TIMEOUT_MS }: DatabaseOptions = {}) {
    this.queryTimeoutMs = queryTimeoutMs;
    this.knex = knex({
      ...QUIET,
      client: 'mysql2',
      connection: () =>
        ({
          charset: 'utf8mb4_bin',
          connectTimeout: CONNECT_TIMEOUT_MS,
          enableKeepAlive: true,
          multipleStatements: true,
          ...connection,
        }) as object as Knex.MySql2ConnectionConfig,
      pool: { ...POOL, afterCreate: (raw: PooledConnection, done: Done) => this.prepare(raw, done) },
    });
    this.connections = new PooledConnections(this.knex, isSilence, (connection) => connection.destroy(), isReadOnly);
  }

  async rows<R>(sql: string, bindings: readonly Binding[] = []): Promise<R[]> {
    return (await this.run(sql, bindings)) as R[];
  }

  /** @returns how many rows were deleted. */
  async delete(sql: string, bindings: readonly Binding[]): Promise<number> {
    return ((await this.run(sql, bindings)) as Outcome).affectedRows ?? 0;
  }

  async statement(sql: string, values: readonly Value[]): Promise<StatementResult> {
    return toResult(await this.run(sql, values));
  }

  async refusalOf(sql: string, values: readonly Value[]): Promise<string | null> {
    this.checkOpen();
    try {
      await this.knex.raw(`EXPLAIN ${sql}`, values as never).options({ timeout: this.queryTimeoutMs });
      return null;
    } catch (error) {
      const refusal = statementRefusal(error);
      if (refusal === null) throw mapError(error);
      return refusal;
    }
  }

  /** Retried as a whole after a deadlock. */
  async atomically(statements: readonly BoundStatement[]): Promise<void> {
    this.checkOpen();
    await this.againAfterDeadlock(() =>
      this.knex.transaction(async (trx) => {
        for (const { sql, values } of statements) await trx.raw(sql, values as never).options({ timeout: this.queryTimeoutMs });
      }),
    );
  }

  /** Uses one connection, without a transaction, because MySQL commits every change of a table by itself. */
  async session<T>(work: (run: Run) => Promise<T>): Promise<T> {
    this.checkOpen();
    const connection = (await this.knex.client.acquireConnection().catch((error: unknown) => {
      throw mapError(error);
    })) as PooledConnection;
    try {
      return await work(async <R>(sql: string, bindings: readonly Binding[] = []) => {
        const query = this.knex.raw(sql, bindings as never).options({ timeout: MIGRATION_TIMEOUT_MS });
        try {
          const [rows] = (await query.connection(connection)) as [R[], unknown];
          return rows;
        } catch (error) {
          throw mapError(error);
        }
      });
    } finally {
      await this.knex.client.releaseConnection(connection);
    }
  }

  /** How many bytes of values fit into one statement. */
  async maxStatementBytes(): Promise<number> {
    if (this.maxPacket === null) {
      const [row] = await this.rows<{ bytes: number }>('SELECT @@max_allowed_packet AS bytes');
      this.maxPacket = Number(row?.bytes ?? 0);
    }
    return Math.min(this.maxPacket, MAX_STATEMENT_BYTES) - STATEMENT_OVERHEAD_BYTES;
  }

  /**
   * Runs statements without bindings in one round trip. If one fails, those after it don't run, and a transaction that they opened is
   * rolled back. Retried as a whole after a deadlock.
   * @returns how many rows each statement changed.
   */
  async together(statements: readonly string[]): Promise<number[]> {
    this.checkOpen();
    const outcome = await this.againAfterDeadlock(() => this.request(statements.join(';\n')));
    return (statements.length === 1 ? [outcome as Outcome] : (outcome as Outcome[])).map(({ affectedRows }) => affectedRows ?? 0);
  }

  /** Runs the text on a connection of the pool, past knex, which would look through a long text for bindings. */
  private async request(text: string): Promise<unknown> {
    const connection = (await this.knex.client.acquireConnection()) as PooledConnection;
    const run = (sql: string) =>
      new Promise((resolve, reject) =>
        connection.query({ sql, timeout: this.queryTimeoutMs }, NO_BINDINGS, (error, result) =>
          error === null ? resolve(result) : reject(error),
        ),
      );
    try {
      return await run(text);
    } catch (error) {
      this.connections.failed(error as Error, connection.__knexUid);
      if (!isSilence(error)) await run('ROLLBACK').catch((refused: unknown) => (connection.__knex__disposed ??= refused as Error));
      throw error;
    } finally {
      await this.knex.client.releaseConnection(connection);
    }
  }

  private async run(sql: string, bindings: readonly Binding[]): Promise<unknown> {
    this.checkOpen();
    const [outcome] = await this.againAfterDeadlock(
      async () => (await this.knex.raw(sql, bindings as never).options({ timeout: this.queryTimeoutMs })) as [unknown, unknown],
    );
    return outcome;
  }

  /** InnoDB undoes everything that the victim of a deadlock has done, so the work is retried. */
  private async againAfterDeadlock<T>(work: () => Promise<T>): Promise<T> {
    for (let tried = 1; ; tried++) {
      try {
        return await work();
      } catch (error) {
        if (!isDeadlock(error) || tried >= DEADLOCK_TRIES) throw mapError(error);
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 20 * tried));
      }
    }
  }

  private checkOpen(): void {
    if (this.closed) throw new ClosedError('the store is closed');
  }

  private prepare(raw: PooledConnection, done: Done): void {
    this.connections.remember(raw);
    const timeout = CONNECT_TIMEOUT_MS;
    raw.query({ sql: ISOLATION, timeout }, NO_BINDINGS, (refused) =>
      refused === null ? raw.query({ sql: SESSION, timeout }, NO_BINDINGS, (error) => done(error, raw)) : done(refused, raw),
    );
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await this.knex.destroy();
  }
}

const toResult = (outcome: unknown): StatementResult =>
  Array.isArray(outcome)
    ? { rows: outcome as Record<string, unknown>[], affected: 0 }
    : { rows: [], affected: (outcome as Outcome).affectedRows ?? 0 };

/**
 * Strict mode, so that no value is cut silently, and backslash escapes, which the client's quoting needs. Topics are
 * sorted by all of their bytes.
 */
const SESSION = `SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', SESSION max_sort_length = 65540`;
/** At this isolation level gaps between rows are not locked. */
const ISOLATION = 'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED';

/** With null instead of an empty list mysql2 does not look through the text for bindings. */
const NO_BINDINGS = null;

type Done = (error: Error | null, connection: PooledConnection) => void;

/** Members that the types of knex and mysql2 leave out. */
interface PooledConnection extends Pooled {
  query(options: { sql: string; timeout: number }, bindings: null, done: (error: Error | null, result: unknown) => void): unknown;
  destroy(): void;
}
