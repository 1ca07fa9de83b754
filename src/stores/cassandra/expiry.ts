import type { types } from 'cassandra-driver';
import type { Message, MessageRef } from '../../mqtt/message';
import type { Database } from './database';
import { toNumber } from './rows';

const BUCKET_MS = 10 * 60_000;
const BUCKETS_PER_STEP = 100;
/**
 * Purging comes first, because it counts what it removes. Cassandra itself removes rows this much later, in case
 * purging missed them.
 */
const SLACK_S = 24 * 60 * 60;
/**
 * Rows that live longer are left to purging. Cassandra accepts no expiry after 2106, and older versions none after
 * 2038.
 */
const LONGEST_TTL_S = 365 * 24 * 60 * 60;

interface ExpiryRow {
  readonly expires_at: types.Long;
  readonly msgid: string;
  readonly topic: string;
  readonly at: types.Long | null;
}

/** A message that has expired according to its entry here. */
export interface Due extends MessageRef {
  readonly expiresAt: number;
  /** When the entry was written (microseconds). */
  readonly notedAt: number;
}

/** The seconds after which Cassandra itself removes a row; 0 for never. */
export function ttlOf(expiresAt: number | null, now: number, slack = SLACK_S): number {
  if (expiresAt === null) return 0;
  const ttl = Math.ceil(Math.max(0, expiresAt - now) / 1_000) + slack;
  return ttl > LONGEST_TTL_S ? 0 : Math.max(1, ttl);
}

const bucketOf = (ms: number): number => Math.floor(ms / BUCKET_MS);

/**
 * mqtt_msg_expiry and mqtt_msg_expiry_bucket: the messages by the time at which they expire. Acknowledged messages keep
 * their entries, because deleting each entry would leave as many deletion markers to read over. Purging deletes whole
 * ranges instead.
 */
export class ExpiryIndex {
  constructor(private readonly db: Database) {}

  /** Buckets are written first, because an entry in an unknown bucket would not be found. */
  async note(messages: readonly Message[], now: number, timestamp: number): Promise<void> {
    const expiring = messages.flatMap(({ id, topic, expiresAt }) => (expiresAt === null ? [] : [{ id, topic, expiresAt }]));
    const buckets = [...new Set(expiring.map(({ expiresAt }) => bucketOf(expiresAt)))];
    await this.db.wave(buckets, (bucket) =>
      this.db.write('INSERT INTO mqtt_msg_expiry_bucket (shard, bucket) VALUES (0, ?)', [bucket], timestamp),
    );
    await this.db.wave(expiring, ({ id, topic, expiresAt }) =>
      this.db.write(
        'INSERT INTO mqtt_msg_expiry (bucket, expires_at, msgid, topic) VALUES (?, ?, ?, ?) USING TTL ?',
        [bucketOf(expiresAt), expiresAt, id, topic, ttlOf(expiresAt, now)],
        timestamp,
      ),
    );
  }

  /**
   * Passes what is due to `expire`, until that has removed `limit` messages or nothing is due.
   * @returns how many messages were removed.
   */
  async purge(now: number, limit: number, expire: (due: readonly Due[]) => Promise<number>): Promise<number> {
    let removed = 0;
    const buckets = await this.db.rows<{ bucket: types.Long }>(
      'SELECT bucket FROM mqtt_msg_expiry_bucket WHERE shard = 0 AND bucket <= ? LIMIT ?',
      [bucketOf(now), BUCKETS_PER_STEP],
    );
    for (const bucket of buckets.map((row) => row.bucket.toNumber())) {
      for (let asked = limit - removed, got = asked; got === asked; asked = limit - removed) {
        if (asked <= 0) return removed;
        const rows = await this.due(bucket, now, asked);
        got = rows.length;
        removed += await expire(rows);
        await this.forget(bucket, rows);
      }
      await this.closeBucket(bucket, now);
    }
    return removed;
  }

  private async due(bucket: number, now: number, limit: number): Promise<Due[]> {
    const rows = await this.db.rows<ExpiryRow>(
      'SELECT expires_at, msgid, topic, writetime(topic) AS at FROM mqtt_msg_expiry WHERE bucket = ? AND expires_at <= ? LIMIT ?',
      [bucket, now, limit],
    );
    return rows.map((row) => ({ id: row.msgid, topic: row.topic, expiresAt: row.expires_at.toNumber(), notedAt: toNumber(row.at) ?? 0 }));
  }

  /**
   * One deletion marker for all entries. Its timestamp is later than all of theirs, whatever the writers' clocks said:
   * otherwise they would be found again and again.
   */
  private async forget(bucket: number, rows: readonly Due[]): Promise<void> {
    const last = rows.at(-1);
    if (last === undefined) return;
    const timestamp = Math.max(this.db.timestamp(), ...rows.map(({ notedAt }) => notedAt));
    await this.db.write(
      'DELETE FROM mqtt_msg_expiry WHERE bucket = ? AND (expires_at, msgid) <= (?, ?)',
      [bucket, last.expiresAt, last.id],
      timestamp,
    );
  }

  /** A bucket that ended long ago gets no new entries. Any late entry is removed by its TTL. */
  private async closeBucket(bucket: number, now: number): Promise<void> {
    if (bucket >= bucketOf(now) - 1) return;
    await this.db.write('DELETE FROM mqtt_msg_expiry WHERE bucket = ?', [bucket]);
    await this.db.write('DELETE FROM mqtt_msg_expiry_bucket WHERE shard = 0 AND bucket = ?', [bucket]);
  }
}
