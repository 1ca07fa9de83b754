import type { Claim, Entry, Leased, SavedRecord, SharedState, Versioned } from '../../../src/lanes/state';

/** The shared state, with the test's clock. */
export class MemoryState implements SharedState {
  private readonly values = new Map<string, { value: string; until: number }>();

  constructor(private readonly now: () => number) {}

  /** The values that have not expired. */
  size(): number {
    return [...this.values.values()].filter(({ until }) => until > this.now()).length;
  }

  async getOrSet(key: string, value: string): Promise<string> {
    return (await this.get(key)) ?? value;
  }

  async get(key: string): Promise<string | null> {
    const entry = this.values.get(key);
    return entry === undefined || entry.until <= this.now() ? null : entry.value;
  }

  async set(key: string, value: string, ttlMs: number): Promise<void> {
    this.values.set(key, { value, until: this.now() + ttlMs });
  }

  async delete(key: string): Promise<void> {
    this.values.delete(key);
  }

  async raise(entries: readonly Entry[], ttlMs: number): Promise<void> {
    for (const { key, value } of entries) if (((await this.get(key)) ?? '') <= value) await this.set(key, value, ttlMs);
  }

  async lease(claims: readonly Claim[], ttlMs: number): Promise<Leased[]> {
    const leased: Leased[] = [];
    for (const { name, owner } of claims) {
      const holder = await this.get(`lease:${name}`);
      if (holder === null) await this.set(`lease:${name}`, owner, ttlMs);
      leased.push(holder === null ? 'granted' : holder === owner ? 'own' : 'held');
    }
    return leased;
  }

  async release(ids: readonly string[], owner: string): Promise<void> {
    for (const id of ids) if ((await this.get(`lease:${id}`)) === owner) this.values.delete(`lease:${id}`);
  }

  async setAll(entries: readonly Entry[], ttlMs: number): Promise<void> {
    for (const { key, value } of entries) await this.set(key, value, ttlMs);
  }

  async getAll(keys: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const found = new Map<string, string>();
    for (const key of keys) {
      const value = await this.get(key);
      if (value !== null) found.set(key, value);
    }
    return found;
  }

  async load(keys: readonly string[]): Promise<ReadonlyMap<string, Versioned>> {
    const found = await this.getAll(keys.map((key) => `record:${key}`));
    return new Map(
      keys.flatMap((key) => {
        const held = found.get(`record:${key}`);
        return held === undefined ? [] : [[key, JSON.parse(held) as Versioned]];
      }),
    );
  }

  async save(records: readonly SavedRecord[]): Promise<ReadonlySet<string>> {
    const held = await this.load(records.map(({ key }) => key));
    const refused = new Set<string>();
    for (const { key, value, before, version, ttlMs } of records) {
      if ((held.get(key)?.version ?? 0) === before) await this.set(`record:${key}`, JSON.stringify({ value, version }), ttlMs);
      else refused.add(key);
    }
    return refused;
  }

  async purge(): Promise<boolean> {
    return false;
  }
}
