import type { Pool, QueryResult, QueryResultRow } from 'pg';
import { errorText, RetryableError } from '../base/errors';
import { firstOf, type Claim, type Entry, type Leased, type SavedRecord, type SharedState, type Versioned } from './state';

/**
 * The shared state in the tables of migrations/queue/001. Schema names are written out, because BullMQ's connections
 * use another one.
 */
export class PostgresState implements SharedState {
  constructor(private readonly pool: Pool) {}

  async getOrSet(key: string, value: string): Promise<string> {
    await this.query(`INSERT INTO offline_queue.shared_state (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING`, [key, value]);
    return (await this.get(key)) ?? value;
  }

  async get(key: string): Promise<string | null> {
    const { rows } = await this.query<{ value: string }>(
      `SELECT value FROM offline_queue.shared_state WHERE key = $1 AND (expires_at IS NULL OR expires_at > $2)`,
      [key, Date.now()],
    );
    return rows[0]?.value ?? null;
  }

  async set(key: string, value: string, ttlMs: number): Promise<void> {
    await this.query(
      `INSERT INTO offline_queue.shared_state (key, value, expires_at) VALUES ($1, $2, $3)
       ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at`,
      [key, value, Date.now() + ttlMs],
    );
  }

  async raise(entries: readonly Entry[], ttlMs: number): Promise<void> {
    await this.query(
      `INSERT INTO offline_queue.shared_state AS held (key, value, expires_at)
       SELECT key, max(value COLLATE "C"), $3::bigint FROM unnest($1::text[], $2::text[]) AS entry(key, value) GROUP BY key ORDER BY key
       ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at
       WHERE held.value COLLATE "C" <= excluded.value OR held.expires_at <= $4`,
      [entries.map(({ key }) => key), entries.map(({ value }) => value), Date.now() + ttlMs, Date.now()],
    );
  }

  async setAll(entries: readonly Entry[], ttlMs: number): Promise<void> {
    const last = new Map(entries.map(({ key, value }) => [key, value]));
    await this.query(
      `INSERT INTO offline_queue.shared_state (key, value, expires_at)
       SELECT key, value, $3::bigint FROM unnest($1::text[], $2::text[]) AS entry(key, value) ORDER BY key
       ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at`,
      [[...last.keys()], [...last.values()], Date.now() + ttlMs],
    );
  }

  async getAll(keys: readonly string[]): Promise<ReadonlyMap<string, string>> {
    if (keys.length === 0) return new Map();
    const { rows } = await this.query<{ key: string; value: string }>(
      `SELECT key, value FROM offline_queue.shared_state WHERE key = ANY($1::text[]) AND (expires_at IS NULL OR expires_at > $2)`,
      [keys, Date.now()],
    );
    return new Map(rows.map(({ key, value }) => [key, value]));
  }

  async load(keys: readonly string[]): Promise<ReadonlyMap<string, Versioned>> {
    if (keys.length === 0) return new Map();
    const { rows } = await this.query<{ key: string; version: string; value: string }>(
      `SELECT key, version, value FROM offline_queue.record WHERE key = ANY($1::text[]) AND expires_at > $2`,
      [keys, Date.now()],
    );
    return new Map(rows.map(({ key, version, value }) => [key, { version: Number(version), value }]));
  }

  async save(records: readonly SavedRecord[]): Promise<ReadonlySet<string>> {
    if (records.length === 0) return new Set();
    const now = Date.now();
    const column = <T>(of: (record: SavedRecord) => T): T[] => records.map(of);
    const values = [
      column(({ key }) => key),
      column(({ value }) => value),
      column(({ version }) => version),
      column(({ before }) => before),
    ];
    const { rows } = await this.query<{ key: string }>(SAVE, [...values, column(({ ttlMs }) => now + ttlMs), now]);
    const saved = new Set(rows.map(({ key }) => key));
    return new Set(records.map(({ key }) => key).filter((key) => !saved.has(key)));
  }

  async delete(key: string): Promise<void> {
    await this.query(`DELETE FROM offline_queue.shared_state WHERE key = $1`, [key]);
  }

  async lease(claims: readonly Claim[], ttlMs: number): Promise<readonly Leased[]> {
    if (claims.length === 0) return [];
    const now = Date.now();
    const first = firstOf(claims);
    const [names, owners] = [[...first.keys()], [...first.values()].map(({ owner }) => owner)];
    const { rows } = await this.query<{ msgid: string }>(
      `INSERT INTO offline_queue.delivery_lease AS held (msgid, owner, expires_at)
       SELECT name, owner, $3::bigint FROM unnest($1::text[], $2::text[]) AS claim(name, owner) ORDER BY name
       ON CONFLICT (msgid) DO UPDATE SET owner = excluded.owner, expires_at = excluded.expires_at
       WHERE held.expires_at <= $4
       RETURNING msgid`,
      [names, owners, now + ttlMs, now],
    );
    const granted = new Set(rows.map(({ msgid }) => msgid));
    const denied = names.filter((name) => !granted.has(name));
    const owned = denied.length === 0 ? new Map<string, string>() : await this.holders(denied);
    return claims.map((claim) => {
      if (granted.has(claim.name) && first.get(claim.name) === claim) return 'granted';
      const holder = granted.has(claim.name) ? first.get(claim.name)?.owner : owned.get(claim.name);
      return holder === claim.owner ? 'own' : 'held';
    });
  }

  private async holders(names: readonly string[]): Promise<Map<string, string>> {
    const { rows } = await this.query<{ msgid: string; owner: string }>(
      `SELECT msgid, owner FROM offline_queue.delivery_lease WHERE msgid = ANY($1::text[])`,
      [names],
    );
    return new Map(rows.map(({ msgid, owner }) => [msgid, owner]));
  }

  async release(ids: readonly string[], owner: string): Promise<void> {
    await this.query(`DELETE FROM offline_queue.delivery_lease WHERE msgid = ANY($1::text[]) AND owner = $2`, [ids, owner]);
  }

  async purge(limit: number): Promise<boolean> {
    let more = false;
    for (const [table, key] of [
      ['shared_state', 'key'],
      ['delivery_lease', 'msgid'],
      ['record', 'key'],
    ] as const) {
      // Sorted like the index on expires_at. Without it the planner may read the whole table to find that nothing has
      // expired.
      const { rowCount } = await this.query(
        `DELETE FROM offline_queue.${table} WHERE ${key} = ANY(ARRAY(
           SELECT ${key} FROM offline_queue.${table} WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)) AND expires_at <= $1`,
        [Date.now(), limit],
      );
      more ||= rowCount === limit;
    }
    return more;
  }

  private async query<R extends QueryResultRow>(sql: string, values: unknown[]): Promise<QueryResult<R>> {
    try {
      return await this.pool.query<R>(sql, values);
    } catch (error) {
      throw new RetryableError(`the queue's database: ${errorText(error)}`);
    }
  }
}

/**
 * Sorted by key, so that two processes that save the same records don't deadlock. An expired record counts as absent.
 */
const SAVE = `
  INSERT INTO offline_queue.record AS held (key, value, version, expires_at)
  SELECT key, value, version, expires FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[]) AS new(key, value, version, before, expires)
  WHERE before = 0 OR EXISTS (SELECT FROM offline_queue.record AS old WHERE old.key = new.key AND old.version = new.before AND old.expires_at > $6)
  ORDER BY key
  ON CONFLICT (key) DO UPDATE SET value = excluded.value, version = excluded.version, expires_at = excluded.expires_at
  WHERE CASE WHEN held.expires_at > $6 THEN held.version ELSE 0 END = (SELECT before FROM unnest($1::text[], $4::bigint[]) AS new(key, before) WHERE new.key = held.key)
  RETURNING held.key`;
