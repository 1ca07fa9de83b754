import type { types } from 'cassandra-driver';
import type { Database } from './database';
import { ttlOf } from './expiry';
import { toNumber } from './rows';

/** mqtt_tombstone. Cassandra itself removes tombstones a little after their end. */
export class Tombstones {
  constructor(private readonly db: Database) {}

  /** The end of a tombstone is its timestamp, so that the longest one wins. */
  async put(ids: readonly string[], until: number, now: number): Promise<void> {
    if (until <= now) return;
    const ttl = ttlOf(until, now, 1);
    await this.db.wave(ids, (id) =>
      this.db.write(
        'INSERT INTO mqtt_tombstone (msgid, expires_at) VALUES (?, ?) USING TTL ?',
        [id, until, ttl],
        Math.floor(until) * 1_000,
      ),
    );
  }

  async has(id: string, now: number): Promise<boolean> {
    const [row] = await this.db.rows<{ expires_at: types.Long | null }>('SELECT expires_at FROM mqtt_tombstone WHERE msgid = ?', [id]);
    return (toNumber(row?.expires_at) ?? 0) > now;
  }
}
