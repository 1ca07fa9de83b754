import { Socket } from 'node:net';
import { Client, type ClientConfig } from 'pg';

type Query = (...args: unknown[]) => Promise<unknown> | undefined;
type Callback = (error?: Error | null, ...rest: unknown[]) => void;

/**
 * All connections of a queue, inside and outside BullMQ's pools. A server may vanish without closing its connections
 * (failover, or a firewall that dropped them). Queries on such connections time out one after the other, and workers
 * wait on them for notifications that never come. So when a query times out, all idle connections are closed (promise
 * 14). A busy connection has its own timeout, after which its pool closes it.
 */
export class Connections {
  private readonly pooled = new Set<WatchedClient>();
  /** Sockets of the clients that BullMQ makes outside the pools for LISTEN. */
  private readonly listening = new Set<Socket>();

  /** Options for a pool: the class of its clients, and the socket of a client that is made outside the pool. */
  watched(): { Client: new (config: ClientConfig) => Client; stream: () => Socket } {
    const { pooled } = this;
    const onSilence = () => this.dropIdle();
    return {
      Client: class extends WatchedClient {
        constructor(config: ClientConfig) {
          super(config, onSilence);
          this.once('connect', () => pooled.add(this)).once('end', () => pooled.delete(this));
        }
      },
      stream: () => this.listen(),
    };
  }

  private listen(): Socket {
    const socket = new Socket();
    this.listening.add(socket);
    return socket.once('close', () => this.listening.delete(socket));
  }

  private dropIdle(): void {
    for (const client of this.pooled) client.dropIfIdle();
    for (const socket of this.listening) socket.destroy();
  }
}

/** A client that reports when one of its queries times out. */
class WatchedClient extends Client {
  private asking = 0;

  constructor(
    config: ClientConfig,
    private readonly onSilence: () => void,
  ) {
    const { stream: _listening, ...own } = config;
    // A pool hides the password from copies of its options.
    super({ ...own, ...(config.password !== undefined && { password: config.password }) });
    // While BullMQ uses the client nothing else listens for errors, and an unhandled error would end the process. The
    // next query reports the error.
    this.on('error', () => undefined);
    const query = this.query.bind(this) as Query;
    Object.assign(this, { query: (...args: unknown[]) => this.watch(query, args) });
  }

  dropIfIdle(): void {
    if (this.asking === 0) (this as unknown as { connection: { stream: Socket } }).connection.stream.destroy();
  }

  /** Pools pass a callback; other callers use the promise. */
  private watch(query: Query, args: unknown[]): unknown {
    const callback = args.at(-1);
    this.asking++;
    const done: Callback = (error) => {
      this.asking--;
      if (error?.message === 'Query read timeout') this.onSilence();
    };
    if (typeof callback !== 'function') {
      const answer = query(...args);
      answer?.then(() => done(), done);
      return answer;
    }
    return query(...args.slice(0, -1), (...outcome: Parameters<Callback>) => {
      done(...outcome);
      (callback as Callback)(...outcome);
    });
  }
}
