import type { Environment } from '../embedded/environment';
import { ExpiringTable } from '../embedded/expiring';
import { NUMBER_BYTES, numberKey, readNumber } from '../embedded/keys';
import { firstOf, type Claim, type Entry, type Leased, type SavedRecord, type SharedState, type Versioned } from './state';

/**
 * The shared state in tables of the embedded environment. A saved value survives the end of the process at once, and a
 * power failure a moment later. Example: the power fails right after a message was sent; the message may be sent again.
 */
export class EmbeddedState implements SharedState {
  private readonly values: ExpiringTable;
  private readonly records: ExpiringTable;
  private readonly leases: ExpiringTable;

  constructor(private readonly environment: Environment) {
    const expiring = (name: string) =>
      new ExpiringTable(environment.longTable(`state-${name}`), environment.longTable(`state-${name}-expiry`));
    [this.values, this.records, this.leases] = [expiring('values'), expiring('records'), expiring('leases')];
  }

  getOrSet(key: string, value: string): Promise<string> {
    return this.environment.durably(() => {
      const held = this.values.get(Buffer.from(key), Date.now());
      if (held !== undefined) return held.toString();
      this.values.put(Buffer.from(key), Buffer.from(value), null);
      return value;
    });
  }

  async get(key: string): Promise<string | null> {
    return this.values.get(Buffer.from(key), Date.now())?.toString() ?? null;
  }

  set(key: string, value: string, ttlMs: number): Promise<void> {
    return this.setAll([{ key, value }], ttlMs);
  }

  delete(key: string): Promise<void> {
    return this.environment.write(() => this.values.remove(Buffer.from(key)));
  }

  raise(entries: readonly Entry[], ttlMs: number): Promise<void> {
    return this.environment.write(() => {
      const now = Date.now();
      for (const { key, value } of entries) {
        const held = this.values.get(Buffer.from(key), now);
        if (held === undefined || held.toString() <= value) this.values.put(Buffer.from(key), Buffer.from(value), now + ttlMs);
      }
    });
  }

  async setAll(entries: readonly Entry[], ttlMs: number): Promise<void> {
    if (entries.length === 0) return;
    await this.environment.write(() => {
      const expiresAt = Date.now() + ttlMs;
      for (const { key, value } of entries) this.values.put(Buffer.from(key), Buffer.from(value), expiresAt);
    });
  }

  async getAll(keys: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const now = Date.now();
    return new Map(
      keys.flatMap((key) => {
        const held = this.values.get(Buffer.from(key), now);
        return held === undefined ? [] : [[key, held.toString()]];
      }),
    );
  }

  async load(keys: readonly string[]): Promise<ReadonlyMap<string, Versioned>> {
    const now = Date.now();
    return new Map(
      keys.flatMap((key) => {
        const held = this.records.get(Buffer.from(key), now);
        return held === undefined ? [] : [[key, { version: readNumber(held), value: held.toString('utf8', NUMBER_BYTES) }]];
      }),
    );
  }

  async save(records: readonly SavedRecord[]): Promise<ReadonlySet<string>> {
    if (records.length === 0) return new Set();
    return this.environment.write(() => {
      const now = Date.now();
      const refused = new Set<string>();
      for (const { key, value, before, version, ttlMs } of records) {
        const held = this.records.get(Buffer.from(key), now);
        if ((held === undefined ? 0 : readNumber(held)) !== before) refused.add(key);
        else this.records.put(Buffer.from(key), Buffer.concat([numberKey(version), Buffer.from(value)]), now + ttlMs);
      }
      return refused;
    });
  }

  async lease(claims: readonly Claim[], ttlMs: number): Promise<readonly Leased[]> {
    if (claims.length === 0) return [];
    const first = firstOf(claims);
    return this.environment.write(() => {
      const now = Date.now();
      return claims.map((claim): Leased => {
        const { name, owner } = claim;
        const held = this.leases.get(Buffer.from(name), now)?.toString();
        if (held !== undefined) return held === owner ? 'own' : 'held';
        if (first.get(name) !== claim) return 'held';
        this.leases.put(Buffer.from(name), Buffer.from(owner), now + ttlMs);
        return 'granted';
      });
    });
  }

  async release(ids: readonly string[], owner: string): Promise<void> {
    if (ids.length === 0) return;
    await this.environment.write(() => {
      const now = Date.now();
      for (const id of ids) if (this.leases.get(Buffer.from(id), now)?.toString() === owner) this.leases.remove(Buffer.from(id));
    });
  }

  purge(limit: number): Promise<boolean> {
    return this.environment.write(() => {
      const now = Date.now();
      return [this.values, this.records, this.leases].map((table) => table.purge(now, limit)).some((more) => more);
    });
  }
}
