import { SentinelConnector, type Redis } from 'ioredis';

interface Credentials {
  readonly username?: string;
  readonly password?: string;
}

type Options = ConstructorParameters<typeof SentinelConnector>[0] & Credentials;

/** Members that ioredis' types declare private. */
interface Inner {
  connectToSentinel(...args: readonly unknown[]): Redis;
  resolve(endpoint: unknown): Promise<unknown>;
}

/**
 * Asks each sentinel without a password first, unless the sentinels have a login of their own. A sentinel that requires
 * a password is asked once more with the data nodes' user and password, because most installations use the same for
 * both. The order matters, because a sentinel without users rejects a user that only the data nodes know.
 */
export class Sentinels extends SentinelConnector {
  /** Why the connection to the sentinel failed. A command on it only reports that the connection is closed. */
  private trouble: Error | null = null;

  /** @param given all options of the client, as ioredis passes them. */
  constructor(given: unknown) {
    const options = given as Options;
    super(options);
    const inner = this as unknown as Inner;
    const connect = inner.connectToSentinel.bind(this);
    inner.connectToSentinel = (...args) => connect(...args).on('error', (error: Error) => (this.trouble = error));
    const resolve = inner.resolve.bind(this);
    inner.resolve = async (endpoint) => {
      const ask = (): Promise<unknown> => this.telling(() => resolve(endpoint));
      return ask().catch((error: unknown) => {
        if (!wantsPassword(error) || options.password === undefined || options.sentinelPassword !== undefined) throw error;
        return this.withCredentials(options, ask);
      });
    };
  }

  private async telling<T>(ask: () => Promise<T>): Promise<T> {
    this.trouble = null;
    try {
      return await ask();
    } catch (error) {
      throw error instanceof Error && error.message === 'Connection is closed.' ? (this.trouble ?? error) : error;
    }
  }

  /** ioredis makes the connection, and reads these options, before `ask` returns its promise. */
  private withCredentials<T>({ username, password }: Credentials, ask: () => Promise<T>): Promise<T> {
    Object.assign(this.options, { sentinelUsername: username, sentinelPassword: password });
    try {
      return ask();
    } finally {
      Object.assign(this.options, { sentinelUsername: undefined, sentinelPassword: undefined });
    }
  }
}

function wantsPassword(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('NOAUTH');
}
