/**
 * A few small values that all server processes share, kept by the queue's own database (Redis or PostgreSQL): every
 * installation has one, whatever its store can do. Throws RetryableError when that database is away.
 */
export interface SharedState {
  /** The stored value, or `value` if there was none: all callers get the same one. Kept for ever. */
  getOrSet(key: string, value: string): Promise<string>;
  get(key: string): Promise<string | null>;
  set(key: string, value: string, ttlMs: number): Promise<void>;
  delete(key: string): Promise<void>;
  /** Sets each value unless the stored one is greater (by code unit). The same key twice in one call is allowed. */
  raise(entries: readonly Entry[], ttlMs: number): Promise<void>;
  /** Any number of them; of a key that comes twice, the last. */
  setAll(entries: readonly Entry[], ttlMs: number): Promise<void>;
  /** Those of the keys that have a value. */
  getAll(keys: readonly string[]): Promise<ReadonlyMap<string, string>>;
  /** Records: values that are changed by compare-and-set only. Those of the keys that have one. */
  load(keys: readonly string[]): Promise<ReadonlyMap<string, Versioned>>;
  /** Saves each record if nobody has saved it since (promise 21). @returns the keys of those that were not saved. */
  save(records: readonly SavedRecord[]): Promise<ReadonlySet<string>>;
  /** Leases each name to its owner unless somebody, the owner included, holds a live lease on it. @returns what came of each, in their order. */
  lease(claims: readonly Claim[], ttlMs: number): Promise<readonly Leased[]>;
  /** Gives up the owner's leases. */
  release(ids: readonly string[], owner: string): Promise<void>;
  /** Removes up to `limit` of each kind that has expired, where the database doesn't do it by itself. @returns whether there may be more. */
  purge(limit: number): Promise<boolean>;
}

export interface Entry {
  readonly key: string;
  readonly value: string;
}

export interface Versioned {
  readonly value: string;
  /** From 1. */
  readonly version: number;
}

export interface SavedRecord extends Entry {
  /** The version that was loaded; 0: there was none. */
  readonly before: number;
  /** Greater. */
  readonly version: number;
  readonly ttlMs: number;
}

export interface Claim {
  readonly name: string;
  readonly owner: string;
}

/** `own`: not granted since the owner itself holds it from before; `held`: by somebody else. */
export type Leased = 'granted' | 'own' | 'held';

/** Of several claims on one name in one call the first counts: for the databases that can't take one twice. */
export function firstOf(claims: readonly Claim[]): Map<string, Claim> {
  const first = new Map<string, Claim>();
  for (const claim of claims) if (!first.has(claim.name)) first.set(claim.name, claim);
  return first;
}
