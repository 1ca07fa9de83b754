/**
 * Small values that all server processes share. The queue's own database keeps them, because every installation has
 * one, whatever its store can do.
 * @throws RetryableError while that database is away.
 */
export interface SharedState {
  /** @returns the stored value, or `value` if there was none, so all callers get the same one. It is kept for ever. */
  getOrSet(key: string, value: string): Promise<string>;
  get(key: string): Promise<string | null>;
  set(key: string, value: string, ttlMs: number): Promise<void>;
  delete(key: string): Promise<void>;
  /** Sets each value unless the stored one is greater (compared by code unit). One call may contain a key twice. */
  raise(entries: readonly Entry[], ttlMs: number): Promise<void>;
  /** Sets any number of values. If a key occurs twice, the last value counts. */
  setAll(entries: readonly Entry[], ttlMs: number): Promise<void>;
  /** @returns the values of those keys that have one. */
  getAll(keys: readonly string[]): Promise<ReadonlyMap<string, string>>;
  /** @returns those keys' records that exist. A record is changed only by compare-and-set. */
  load(keys: readonly string[]): Promise<ReadonlyMap<string, Versioned>>;
  /**
   * Saves each record unless another process has saved it since it was loaded (promise 21).
   * @returns the keys of the records that were not saved.
   */
  save(records: readonly SavedRecord[]): Promise<ReadonlySet<string>>;
  /**
   * Leases each name to its owner, unless a live lease on it exists, even one of the same owner.
   * @returns the result of each claim, in order.
   */
  lease(claims: readonly Claim[], ttlMs: number): Promise<readonly Leased[]>;
  /** Ends the owner's leases. */
  release(ids: readonly string[], owner: string): Promise<void>;
  /**
   * Deletes up to `limit` expired entries of each kind, where the database doesn't delete them by itself.
   * @returns whether there may be more.
   */
  purge(limit: number): Promise<boolean>;
}

export interface Entry {
  readonly key: string;
  readonly value: string;
}

export interface Versioned {
  readonly value: string;
  /** Starts at 1. */
  readonly version: number;
}

export interface SavedRecord extends Entry {
  /** The version that was loaded; 0 if there was no record. */
  readonly before: number;
  /** Must be greater than `before`. */
  readonly version: number;
  readonly ttlMs: number;
}

export interface Claim {
  readonly name: string;
  readonly owner: string;
}

/** `own`: not granted, because the owner itself holds an earlier lease. `held`: another owner holds a lease. */
export type Leased = 'granted' | 'own' | 'held';

/**
 * If one call claims a name several times, the first claim counts. Some databases can't take a name twice in one
 * statement.
 */
export function firstOf(claims: readonly Claim[]): Map<string, Claim> {
  const first = new Map<string, Claim>();
  for (const claim of claims) if (!first.has(claim.name)) first.set(claim.name, claim);
  return first;
}
