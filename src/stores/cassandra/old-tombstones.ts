import type { types } from 'cassandra-driver';
import type { Database } from './database';
import { toNumber } from './rows';

/** No message has this id. Its row tells until when the table is read. */
const READ_UNTIL = '(read until)';
/** Tombstones of the server lasted 15 minutes. A server of the earlier release may have run a little longer. */
const READ_FOR_S = 3_600;

/** Notes that an earlier release has written tombstones to mqtt_tombstone. */
export async function keepOldTombstones(db: Database): Promise<void> {
  await db.write('INSERT INTO mqtt_tombstone (msgid, expires_at) VALUES (?, ?) USING TTL ?', [
    READ_UNTIL,
    Date.now() + READ_FOR_S * 1_000,
    READ_FOR_S,
  ]);
}

/**
 * mqtt_tombstone, which releases before migration 005 wrote. Its rows have no topic, so they can't be moved to
 * mqtt_removed. They are read for an hour after the migration, and Cassandra itself removes them.
 */
export class OldTombstones {
  private readUntil: number | null = null;

  constructor(private readonly db: Database) {}

  /** @returns those of the ids that have a tombstone of an earlier release. */
  async among(ids: readonly string[], now: number): Promise<ReadonlySet<string>> {
    this.readUntil ??= await this.endOf(READ_UNTIL);
    if (now >= this.readUntil) return new Set();
    const ends = await this.db.wave(ids, (id) => this.endOf(id));
    return new Set(ids.filter((_, i) => (ends[i] ?? 0) > now));
  }

  private async endOf(id: string): Promise<number> {
    const [row] = await this.db.rows<{ expires_at: types.Long | null }>('SELECT expires_at FROM mqtt_tombstone WHERE msgid = ?', [id]);
    return toNumber(row?.expires_at) ?? 0;
  }
}
