import type { Knex } from 'knex';

const ignore = (): void => undefined;

/** What every pool of ours has in common. */
export const QUIET = {
  acquireConnectionTimeout: 10_000,
  // Payloads and client ids don't belong into error messages.
  compileSqlOnError: false,
  // What goes wrong is thrown; knex would print it as well.
  log: { warn: ignore, error: ignore, deprecate: ignore, debug: ignore },
} satisfies Knex.Config;

export const POOL = { min: 0, max: 10 };

/** What knex's types leave out of a connection: the name that its events carry, and its mark for "not to be used again". */
export interface Pooled {
  readonly __knexUid: string;
  __knex__disposed?: Error;
  once(event: 'end', listener: () => void): unknown;
}

/**
 * A server that vanished without a word (failover, a firewall that forgot us) leaves connections that time out query after query. The one
 * on which it is noticed is dropped; the others may be as dead, and are not taken from the pool again: work resumes on new ones at once
 * (promise 14). What is under way on them goes on, as one slow statement is no sign against it.
 */
export class PooledConnections<C extends Pooled> {
  private readonly open = new Map<string, C>();

  constructor(
    knex: Knex,
    isSilence: (error: Error) => boolean,
    private readonly destroy: (connection: C) => void,
  ) {
    knex.on('query-error', (error: Error, { __knexUid }: { __knexUid: string }) => {
      if (isSilence(error)) this.drop(error, __knexUid);
    });
  }

  /** For the pool's afterCreate. */
  remember(connection: C): void {
    this.open.set(connection.__knexUid, connection);
    connection.once('end', () => this.open.delete(connection.__knexUid));
  }

  private drop(error: Error, uid: string): void {
    const connection = this.open.get(uid);
    if (connection === undefined) return;
    for (const each of this.open.values()) each.__knex__disposed ??= error;
    this.destroy(connection);
    this.open.delete(uid);
  }
}
