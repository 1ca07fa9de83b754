import { Socket } from 'node:net';
import { Client, type ClientConfig } from 'pg';

type Query = (...args: unknown[]) => Promise<unknown> | undefined;
type Callback = (error?: Error | null, ...rest: unknown[]) => void;

/**
 * All connections of a queue, in BullMQ's pools and beside them. A server that vanished without a word (failover, a firewall that forgot us)
 * leaves connections that time out query after query, and workers that wait on them for notifications which never come: when a query times
 * out, all that are idle are dropped (promise 14). What others are asking is left to their own timeouts, after which a pool drops them.
 */
export class Connections {
  private readonly pooled = new Set<WatchedClient>();
  /** BullMQ LISTENs on clients of its own making. */
  private readonly listening = new Set<Socket>();

  /** For a pool's configuration: the class of its clients, and the socket of a client that is made beside it. */
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

/** A client that tells when a query of it times out. */
class WatchedClient extends Client {
  private asking = 0;

  constructor(
    config: ClientConfig,
    private readonly onSilence: () => void,
  ) {
    const { stream: _listening, ...own } = config;
    // A pool hides the password from copies of its options.
    super({ ...own, ...(config.password !== undefined && { password: config.password }) });
    // Where BullMQ has it in hand nobody else listens, and the process would end; whoever asks next hears of it.
    this.on('error', () => undefined);
    const query = this.query.bind(this) as Query;
    Object.assign(this, { query: (...args: unknown[]) => this.watch(query, args) });
  }

  dropIfIdle(): void {
    if (this.asking === 0) (this as unknown as { connection: { stream: Socket } }).connection.stream.destroy();
  }

  /** With a callback, as pools ask, or a promise. */
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
