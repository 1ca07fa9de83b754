import { errorText, RetryableError } from '../base/errors';
import type { RedisConnection } from '../redis/connect';
import type { Claim, Entry, Leased, SavedRecord, SharedState, Versioned } from './state';

/** The shared state in plain keys with a ttl. All keys are in one slot of a Redis Cluster. */
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
    if (entries.length === 0) return;
    const keys = entries.map(({ key }) => this.stateKey(key));
    await this.try(() => this.redis.eval(SET_ALL, keys.length, ...keys, ttlMs, ...entries.map(({ value }) => value)));
  }

  async getAll(keys: readonly string[]): Promise<ReadonlyMap<string, string>> {
    if (keys.length === 0) return new Map();
    // All keys are in one slot of a cluster, because the prefix has a hash tag.
    const values = await this.try(() => this.redis.mget(keys.map((key) => this.stateKey(key))));
    return new Map(keys.flatMap((key, i) => (typeof values[i] === 'string' ? [[key, values[i]]] : [])));
  }

  async load(keys: readonly string[]): Promise<ReadonlyMap<string, Versioned>> {
    const found = await this.getAll(keys.map(recordKey));
    return new Map(
      keys.flatMap((key) => {
        const held = found.get(recordKey(key));
        return held === undefined ? [] : [[key, recordOf(held)]];
      }),
    );
  }

  async save(records: readonly SavedRecord[]): Promise<ReadonlySet<string>> {
    if (records.length === 0) return new Set();
    const keys = records.map(({ key }) => this.stateKey(recordKey(key)));
    const values = records.flatMap(({ before, version, value, ttlMs }) => [before, `${version}:${value}`, ttlMs]);
    const refused = (await this.try(() => this.redis.eval(SAVE, keys.length, ...keys, ...values))) as number[];
    return new Set(refused.map((i) => records[i - 1]?.key ?? ''));
  }

  async delete(key: string): Promise<void> {
    await this.try(() => this.redis.del(this.stateKey(key)));
  }

  async lease(claims: readonly Claim[], ttlMs: number): Promise<readonly Leased[]> {
    if (claims.length === 0) return [];
    const keys = claims.map(({ name }) => this.leaseKey(name));
    const answers = (await this.try(() =>
      this.redis.eval(LEASE, keys.length, ...keys, ttlMs, ...claims.map(({ owner }) => owner)),
    )) as number[];
    return answers.map((answer) => LEASED[answer] ?? 'held');
  }

  async release(ids: readonly string[], owner: string): Promise<void> {
    if (ids.length === 0) return;
    await this.try(() => this.redis.eval(RELEASE, ids.length, ...ids.map((id) => this.leaseKey(id)), owner));
  }

  /** Redis itself deletes expired keys. */
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
const SET_ALL = `for i, key in ipairs(KEYS) do redis.call('SET', key, ARGV[i + 1], 'PX', ARGV[1]) end return 0`;
const RELEASE = `for _, key in ipairs(KEYS) do if redis.call('GET', key) == ARGV[1] then redis.call('DEL', key) end end return 0`;
const LEASE = `
local answers = {}
for i, key in ipairs(KEYS) do
  local owner = ARGV[i + 1]
  if redis.call('SET', key, owner, 'PX', ARGV[1], 'NX') then answers[i] = 1
  elseif redis.call('GET', key) == owner then answers[i] = 2
  else answers[i] = 0 end
end
return answers`;
const LEASED: readonly Leased[] = ['held', 'granted', 'own'];
/** A record is stored as "version:value". */
const SAVE = `
local refused = {}
for i, key in ipairs(KEYS) do
  local held = redis.call('GET', key)
  local version = held and held:match('^%d+') or '0'
  if version == ARGV[i * 3 - 2] then redis.call('SET', key, ARGV[i * 3 - 1], 'PX', ARGV[i * 3])
  else refused[#refused + 1] = i end
end
return refused`;

const recordKey = (key: string): string => `record:${key}`;

function recordOf(held: string): Versioned {
  const end = held.indexOf(':');
  return { version: Number(held.slice(0, end)), value: held.slice(end + 1) };
}
