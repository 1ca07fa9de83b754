import type { Knex } from 'knex';

const ignore = (): void => undefined;

/** What all of the server's pools have in common. */
export const QUIET = {
  acquireConnectionTimeout: 10_000,
  // Payloads and client ids must not get into error messages.
  compileSqlOnError: false,
  // Errors are thrown, so knex need not print them as well.
  log: { warn: ignore, error: ignore, deprecate: ignore, debug: ignore },
} satisfies Knex.Config;

export const POOL = { min: 0, max: 10 };

/**
 * Members that knex's types leave out: the name that events carry, and the mark of a connection that must not be used
 * again.
 */
export interface Pooled {
  readonly __knexUid: string;
  __knex__disposed?: Error;
  once(event: 'end', listener: () => void): unknown;
}

/**
 * Closes connections to a server that has vanished (failover, or a firewall that dropped them). Queries on such
 * connections time out one after the other. When one times out, its connection is closed at once. The others may be
 * dead as well, so the pool does not reuse them, and work continues on new connections (promise 14). Statements that
 * are running on them may finish, because one slow statement proves nothing.
 * Connections to a server that became a standby, or was one when they were opened, are not reused either.
 */
export class PooledConnections<C extends Pooled> {
  private readonly open = new Map<string, C>();

  constructor(
    knex: Knex,
    private readonly isSilence: (error: Error) => boolean,
    private readonly destroy: (connection: C) => void,
    /** Whether the error says that the server takes no writes. New connections may lead to one that does. */
    private readonly isReadOnly: (error: Error) => boolean,
  ) {
    knex.on('query-error', (error: Error, { __knexUid }: { __knexUid: string }) => this.failed(error, __knexUid));
  }

  /** Called in the pool's afterCreate. */
  remember(connection: C): void {
    this.open.set(connection.__knexUid, connection);
    connection.once('end', () => this.open.delete(connection.__knexUid));
  }

  /** For a query that failed. knex reports its own queries; a driver reports those that it runs on the connection itself. */
  failed(error: Error, uid: string): void {
    if (this.isSilence(error)) this.drop(error, uid);
    else if (this.isReadOnly(error)) this.retire(error);
  }

  private drop(error: Error, uid: string): void {
    const connection = this.open.get(uid);
    if (connection === undefined) return;
    this.retire(error);
    this.destroy(connection);
    this.open.delete(uid);
  }

  /** The pool does not reuse the connections that are open now. */
  private retire(error: Error): void {
    for (const each of this.open.values()) each.__knex__disposed ??= error;
  }
}
