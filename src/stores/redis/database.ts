import { createHash } from 'node:crypto';
import { Cluster, type ChainableCommander, type Redis } from 'ioredis';
import type { ServiceUrl } from '../../config/url';
import { ClosedError } from '../../base/errors';
import { checkRedisUrl, connectRedis, onTrouble, type RedisConnection } from '../../redis/connect';
import { explain, isWrongDatabase } from '../../redis/explain';
import { infoField } from '../../redis/info';
import { mapError } from './errors';

export interface RedisTimeouts {
  readonly commandMs: number;
  /**
   * A connection without any answer for this long (ms) is replaced. Its commands are sent again, so that they may still
   * succeed in time.
   */
  readonly socketMs: number;
}

const TIMEOUTS: RedisTimeouts = { commandMs: 15_000, socketMs: 5_000 };

type Argument = string | number | Buffer;

type Outcome = readonly [error: unknown, answer: unknown];

/** A command as in Redis' documentation: name and arguments. */
export type Command = readonly [name: string, ...args: Argument[]];

/**
 * Runs commands on a single Redis, Sentinel or Cluster. Errors are the server's own kinds. On a cluster every command must concern one
 * key. Commands that are given together are sent together (one round trip to each node).
 */
export class Database {
  private readonly redis: RedisConnection;
  /** Why there is no connection. A command's own error only says that it has waited too long. */
  private trouble: Error | null = null;
  private closed = false;

  constructor(url: ServiceUrl, setting: string, { commandMs, socketMs }: RedisTimeouts = TIMEOUTS) {
    checkRedisUrl(url, setting, ['prefix']);
    this.redis = connectRedis(url, setting, { maxRetriesPerRequest: 1, commandTimeout: commandMs, socketTimeout: socketMs });
    onTrouble(this.redis, (error) => (this.trouble = error));
    // If the selected database does not exist, the client continues with database 0.
    this.redis.on('ready', () => (this.trouble = isWrongDatabase(this.trouble) ? this.trouble : null));
  }

  /** Scripts are sent by their hash, and with their text only if the server does not know them yet. */
  async all<R>(commands: readonly Command[]): Promise<R[]> {
    if (this.closed) throw new ClosedError('the store is closed');
    if (commands.length === 0) return [];
    this.checkDatabase();
    const outcomes = [...(await this.send(commands.map(byHash)))];
    const unknown = commands.flatMap((_, i) => (isUnknownScript(outcomes[i]?.[0]) ? [i] : []));
    if (unknown.length > 0) {
      const again = await this.send(unknown.map((i) => commands[i]!));
      unknown.forEach((i, k) => (outcomes[i] = again[k]!));
    }
    this.checkDatabase();
    const failed = outcomes.find(([error]) => error !== null);
    if (failed !== undefined) throw mapError(failed[0], this.trouble);
    return outcomes.map(([, answer]) => answer as R);
  }

  private send(commands: readonly Command[]): Promise<Outcome[]> {
    return this.redis instanceof Cluster || commands.length === 1
      ? this.sendEach(this.redis, commands)
      : this.pipeline(this.redis, commands);
  }

  /** All commands are awaited, so that none of a failed batch is still running when it is retried. */
  private async sendEach(redis: RedisConnection, commands: readonly Command[]): Promise<Outcome[]> {
    const outcomes = await Promise.allSettled(commands.map(([name, ...args]) => send(redis, name, args)));
    return outcomes.map((outcome) => (outcome.status === 'fulfilled' ? [null, outcome.value] : [outcome.reason, null]));
  }

  /** A pipeline is cheaper than single commands, but works on one node only. */
  private async pipeline(redis: Redis, commands: readonly Command[]): Promise<Outcome[]> {
    const pipeline = redis.pipeline();
    for (const [name, ...args] of commands) void send(pipeline, name, args);
    try {
      return ((await pipeline.exec()) ?? []).map(([error, answer]) => [error, answer]);
    } catch (error) {
      return [[error, null]];
    }
  }

  private checkDatabase(): void {
    if (isWrongDatabase(this.trouble)) throw mapError(this.trouble, this.trouble);
  }

  get isCluster(): boolean {
    return this.redis instanceof Cluster;
  }

  async one<R>(...command: Command): Promise<R> {
    const [answer] = await this.all<R>([command]);
    return answer as R;
  }

  /** null if the client is connected, as far as is known. */
  get troubleText(): string | null {
    return this.trouble === null ? null : explain(this.trouble, this.trouble);
  }

  /** @returns a function that gives a field of INFO; '' if it is missing. */
  async info(): Promise<(name: string) => string> {
    const text = await this.one<string>('INFO');
    return (name) => infoField(text, name);
  }

  /** The matching keys of every master, page by page. A key may occur twice. */
  async *scan(match: string): AsyncGenerator<string[]> {
    const masters: Redis[] = this.redis instanceof Cluster ? this.redis.nodes('master') : [this.redis];
    for (const master of masters) {
      let cursor = '0';
      do {
        const [next, keys] = await master.scan(cursor, 'MATCH', match, 'COUNT', 1_000).catch((error: unknown) => {
          throw mapError(error, this.trouble);
        });
        if (keys.length > 0) yield keys;
        cursor = next;
      } while (cursor !== '0');
    }
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.redis.disconnect();
  }
}

const hashes = new Map<string, string>();

function byHash(command: Command): Command {
  const [name, script, ...rest] = command;
  if (name !== 'EVAL' || typeof script !== 'string') return command;
  const hash = hashes.get(script) ?? createHash('sha1').update(script).digest('hex');
  hashes.set(script, hash);
  return ['EVALSHA', hash, ...rest];
}

/** Also true for a user who may use EVAL but not EVALSHA. Nothing was changed then. */
function isUnknownScript(error: unknown): boolean {
  return error instanceof Error && /^NOSCRIPT|^NOPERM.*evalsha/i.test(error.message);
}

/** Answers that may hold any bytes are returned as Buffers. */
function send(to: RedisConnection | ChainableCommander, name: string, args: readonly Argument[]): unknown {
  return name.endsWith('Buffer') ? to.callBuffer(name.slice(0, -'Buffer'.length), ...args) : to.call(name, ...args);
}
