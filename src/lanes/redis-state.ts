import { errorText, RetryableError } from '../base/errors';
import type { RedisConnection } from '../redis/connect';
import type { Entry, Leases, SharedState } from './state';

/** Plain keys with a time to live, all in one slot of a Redis Cluster. */
export class RedisState implements SharedState {
  constructor(
    private readonly redis: RedisConnection,
    private readonly prefix: string,
  ) {}

  async getOrSet(key: string, value: string): Promise<string> {
    return this.try(async () => {
      await this.redis.set(this.stateKey(key), value, 'NX');
      return (await this.redis.get(this.stateKey(key))) ?? value;
    });
  }

  async get(key: string): Promise<string | null> {
    return this.try(() => this.redis.get(this.stateKey(key)));
  }

  async set(key: string, value: string, ttlMs: number): Promise<void> {
    await this.try(() => this.redis.set(this.stateKey(key), value, 'PX', ttlMs));
  }

  async raise(entries: readonly Entry[], ttlMs: number): Promise<void> {
    await this.try(() => Promise.all(entries.map(({ key, value }) => this.redis.eval(RAISE, 1, this.stateKey(key), value, ttlMs))));
  }

  async setAll(entries: readonly Entry[], ttlMs: number): Promise<void> {
    await this.try(() => Promise.all(entries.map(({ key, value }) => this.redis.set(this.stateKey(key), value, 'PX', ttlMs))));
  }

  async getAll(keys: readonly string[]): Promise<ReadonlyMap<string, string>> {
    if (keys.length === 0) return new Map();
    // One slot of a cluster has them all (the prefix's hash tag).
    const values = await this.try(() => this.redis.mget(keys.map((key) => this.stateKey(key))));
    return new Map(keys.flatMap((key, i) => (typeof values[i] === 'string' ? [[key, values[i]]] : [])));
  }

  async delete(key: string): Promise<void> {
    await this.try(() => this.redis.del(this.stateKey(key)));
  }

  async lease(ids: readonly string[], owner: string, ttlMs: number): Promise<Leases> {
    return this.try(async () => {
      const granted = new Set<string>();
      const own = new Set<string>();
      const answers = await Promise.all([...new Set(ids)].map(async (id) => [id, await this.redis.set(this.leaseKey(id), owner, 'PX', ttlMs, 'NX')] as const));
      for (const [id, answer] of answers) if (answer === 'OK') granted.add(id);
      const denied = [...new Set(ids)].filter((id) => !granted.has(id));
      const holders = await Promise.all(denied.map((id) => this.redis.get(this.leaseKey(id))));
      denied.forEach((id, i) => holders[i] === owner && own.add(id));
      return { granted, own };
    });
  }

  async release(ids: readonly string[], owner: string): Promise<void> {
    await this.try(() => Promise.all(ids.map((id) => this.redis.eval(RELEASE, 1, this.leaseKey(id), owner))));
  }

  /** Redis does it. */
  async purge(): Promise<boolean> {
    return false;
  }

  private stateKey(key: string): string {
    return `${this.prefix}:state:${key}`;
  }

  private leaseKey(id: string): string {
    return `${this.prefix}:lease:${id}`;
  }

  private async try<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw new RetryableError(`the queue's Redis: ${errorText(error)}`);
    }
  }
}

const RAISE = `local held = redis.call('GET', KEYS[1]) if held and held > ARGV[1] then return 0 end return redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])`;
const RELEASE = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`;
