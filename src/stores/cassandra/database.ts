import { policies, types, type Client, type DseClientOptions, type QueryOptions } from 'cassandra-driver';
import { ClosedError, errorText, RefusedError } from '../../base/errors';
import { mapError } from './errors';
import { Limiter } from './limiter';
import { Session } from './session';
import type { CassandraSettings, Consistency } from './settings';

/** How many statements may run in parallel, over all calls. */
const IN_FLIGHT = 512;
const CONNECT_TIMEOUT_MS = 2_500;
const READ_TIMEOUT_MS = 12_000;
const DEFINE_TIMEOUT_MS = 60_000;
/** What the driver throws if it has no connection to the host on which it would prepare a statement. */
const NO_CONNECTION = 'No connection available';

const CONSISTENCY: Record<Consistency, types.consistencies> = {
  ...{ one: types.consistencies.one, two: types.consistencies.two, three: types.consistencies.three, all: types.consistencies.all },
  ...{ quorum: types.consistencies.quorum, local_quorum: types.consistencies.localQuorum, local_one: types.consistencies.localOne },
};

/** A statement with its values. */
export interface Bound {
  readonly query: string;
  readonly params: unknown[];
}

export interface Page<R> {
  readonly rows: R[];
  /** null if this was the last page. */
  readonly next: string | null;
}

/**
 * Runs statements on one keyspace. Errors are the server's own kinds. Connects at the first use, and again after a
 * failure.
 */
export class Database {
  readonly keyspace: string;
  private readonly session: Session;
  private readonly limiter = new Limiter(IN_FLIGHT);
  private lastTimestamp = 0;
  private closed = false;

  constructor(settings: CassandraSettings) {
    this.keyspace = settings.keyspace;
    this.session = new Session(clientOptions(settings));
  }

  /** Microseconds, each time greater than before. Cassandra uses them to decide which write is the newest. */
  timestamp(): number {
    return (this.lastTimestamp = Math.max(this.lastTimestamp + 1, Date.now() * 1_000));
  }

  async rows<R>(cql: string, params: unknown[] = [], options: QueryOptions = {}): Promise<R[]> {
    return (await this.execute(cql, params, options)).rows as unknown as R[];
  }

  /** @param timestamp in microseconds; by default the newest. */
  async write(cql: string, params: unknown[], timestamp = this.timestamp()): Promise<void> {
    await this.execute(cql, params, { timestamp });
  }

  /**
   * Writes to one partition, possibly of several tables with the same partition key, which each replica applies as a
   * whole. The statements contain their timestamps.
   */
  async writeTogether(statements: readonly Bound[]): Promise<void> {
    const [only, ...others] = statements;
    if (only === undefined) return;
    if (others.length === 0) await this.execute(only.query, only.params, {});
    else await this.send((client) => client.batch([...statements], { prepare: true, logged: false }));
  }

  /**
   * A lightweight transaction.
   * @returns null if it was applied, otherwise the present row.
   */
  async conditionally<R>(cql: string, params: unknown[]): Promise<null | Partial<R>> {
    const result = await this.execute(cql, params, { isIdempotent: false });
    return result.wasApplied() ? null : ((result.first() ?? {}) as unknown as Partial<R>);
  }

  /**
   * A lightweight transaction of several statements on one partition.
   * @returns null if it was applied, otherwise the present rows.
   */
  async batchConditionally<R>(statements: readonly Bound[]): Promise<null | Partial<R>[]> {
    const result = await this.send((client) => client.batch([...statements], { prepare: true, isIdempotent: false, logged: false }));
    return result.wasApplied() ? null : (result.rows as unknown as Partial<R>[]);
  }

  async page<R>(cql: string, params: unknown[], fetchSize: number, pageState: string | null = null): Promise<Page<R>> {
    const result = await this.execute(cql, params, { fetchSize, ...(pageState === null ? {} : { pageState }) });
    return { rows: result.rows as unknown as R[], next: result.pageState ?? null };
  }

  async *pages<R>(cql: string, params: unknown[], fetchSize: number): AsyncGenerator<R[]> {
    for (let state: string | null = null; ;) {
      const { rows, next }: Page<R> = await this.page<R>(cql, params, fetchSize, state);
      yield rows;
      if (next === null) return;
      state = next;
    }
  }

  /** Runs many statements in parallel: about one round trip, whatever their number. */
  wave<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
    return Promise.all(items.map(work));
  }

  /**
   * A wave in which items may be rejected because of their content.
   * @returns the rejection of each item, or null.
   */
  writeWave<T>(items: readonly T[], work: (item: T) => Promise<unknown>): Promise<(RefusedError | null)[]> {
    return this.wave(items, async (item) => {
      try {
        await work(item);
        return null;
      } catch (error) {
        if (error instanceof RefusedError) return error;
        throw error;
      }
    });
  }

  /** Resolves when all nodes know the definition. */
  async define(cql: string): Promise<void> {
    await this.execute(cql, [], { prepare: false, isIdempotent: false, readTimeout: DEFINE_TIMEOUT_MS });
  }

  private execute(cql: string, params: unknown[], options: QueryOptions): Promise<types.ResultSet> {
    return this.send((client) => client.execute(cql, params, options));
  }

  private async send(request: (client: Client) => Promise<types.ResultSet>): Promise<types.ResultSet> {
    if (this.closed) throw new ClosedError('the store is closed');
    return this.limiter.run(async () => {
      try {
        return await onSomeHost(await this.session.connected(), request);
      } catch (error) {
        throw mapError(error);
      }
    });
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await this.session.close();
  }
}

/**
 * A statement is prepared at its first use, on the host whose turn it is. If the driver has no connection to this host, it
 * gives up before it sends anything, and does not try the other hosts. At the next attempt it is the turn of the next host.
 */
async function onSomeHost<T>(client: Client, request: (client: Client) => Promise<T>): Promise<T> {
  for (let left = client.hosts.length; ; left--) {
    try {
      return await request(client);
    } catch (error) {
      if (left <= 1 || errorText(error) !== NO_CONNECTION) throw error;
    }
  }
}

function clientOptions({
  contactPoints,
  keyspace,
  datacenter,
  consistency,
  credentials,
  tls,
  readTimeoutMs,
}: CassandraSettings): DseClientOptions {
  const serial = consistency.startsWith('local_') ? types.consistencies.localSerial : types.consistencies.serial;
  return {
    contactPoints: [...contactPoints],
    keyspace,
    localDataCenter: datacenter,
    ...(credentials === null ? {} : { credentials: { ...credentials } }),
    // By default the driver would accept any certificate.
    ...(tls === null ? {} : { sslOptions: { ...tls, rejectUnauthorized: true } }),
    queryOptions: { prepare: true, isIdempotent: true, consistency: CONSISTENCY[consistency], serialConsistency: serial },
    // A node that is back is used again at once. By default the driver waits longer and longer, up to ten minutes.
    policies: { reconnection: new policies.reconnection.ConstantReconnectionPolicy(1_000) },
    // If a server has vanished, everything on its connection times out. After a few timeouts the connection is
    // replaced.
    socketOptions: { connectTimeout: CONNECT_TIMEOUT_MS, readTimeout: readTimeoutMs ?? READ_TIMEOUT_MS, defunctReadTimeoutThreshold: 4 },
    pooling: { heartBeatInterval: 5_000 },
    monitorReporting: { enabled: false },
  };
}
