import { types } from 'cassandra-driver';
import { groupBy } from '../../base/parallel';
import type { Message, MessageRef } from '../../mqtt/message';
import type { Database } from './database';
import { split } from '../../base/split';
import { toNumber } from './rows';

const BUCKET_MS = 60_000;
/** Messages of one row expire within this time of each other (ms). They are purged together, when the last one has expired. */
const SLICE_MS = 10_000;
const BUCKETS_PER_STEP = 100;
/** A bucket is deleted this long after its end (ms). Until then it may get entries of messages that are saved late. */
const CLOSED_AFTER_MS = 10 * 60_000;
const ROWS_AT_ONCE = 4;
const MOST_IN_A_ROW = 256;
const BYTES_IN_A_ROW = 65_536;
/** How many buckets this process remembers to have entered. */
const MOST_BUCKETS = 20_000;
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
  readonly due_at: types.Long;
  readonly part: types.Uuid;
  /** Pairs of a topic and the ids of its messages, as JSON. */
  readonly messages: string;
  readonly at: types.Long | null;
}

export type Expiring = MessageRef & Pick<Message, 'expiresAt'>;

/** Removes those of the messages that have expired, but at most `most`. */
export type Expire = (refs: readonly MessageRef[], now: number, most: number) => Promise<{ removed: number; isDone: boolean }>;

/** The seconds after which Cassandra itself removes a row; 0 for never. */
export function ttlOf(expiresAt: number | null, now: number, slack = SLACK_S): number {
  if (expiresAt === null) return 0;
  const ttl = Math.ceil(Math.max(0, expiresAt - now) / 1_000) + slack;
  return ttl > LONGEST_TTL_S ? 0 : Math.max(1, ttl);
}

const bucketOf = (ms: number): number => Math.floor(ms / BUCKET_MS);

/**
 * mqtt_expiry and mqtt_expiry_bucket: messages by the time at which they expire. A row has the messages of one call of
 * note() that expire at about the same time, so that a batch needs one row and not one for each message. Acknowledged
 * messages stay in their row, and purging finds that they are not stored any more.
 */
export class ExpiryIndex {
  private readonly entered = new Set<number>();

  constructor(private readonly db: Database) {}

  /** Buckets are written first, because a row in an unknown bucket would not be found. */
  async note(messages: readonly Expiring[], now: number, timestamp: number): Promise<void> {
    const expiring = messages.flatMap(({ id, topic, expiresAt }) => (expiresAt === null ? [] : [{ id, topic, expiresAt }]));
    const slices = groupBy(expiring, ({ expiresAt }) => `${Math.floor(expiresAt / SLICE_MS)}`);
    const rows = [...slices.values()].flatMap((slice) =>
      split(slice, MOST_IN_A_ROW, BYTES_IN_A_ROW, ({ id, topic }) => id.length + topic.length),
    );
    await this.enter([...new Set(expiring.map(({ expiresAt }) => bucketOf(expiresAt)))], now, timestamp);
    await this.db.wave(rows, (row) => this.write(row, now, timestamp));
  }

  /** A bucket of the past is entered each time, because it may have been deleted. */
  private async enter(buckets: readonly number[], now: number, timestamp: number): Promise<void> {
    const unknown = buckets.filter((bucket) => !this.entered.has(bucket) || bucket <= bucketOf(now));
    await this.db.wave(unknown, (bucket) =>
      this.db.write('INSERT INTO mqtt_expiry_bucket (shard, bucket) VALUES (0, ?)', [bucket], timestamp),
    );
    if (this.entered.size > MOST_BUCKETS) this.entered.clear();
    for (const bucket of unknown) this.entered.add(bucket);
  }

  private async write(row: readonly (MessageRef & { readonly expiresAt: number })[], now: number, timestamp: number): Promise<void> {
    const dueAt = row.reduce((latest, { expiresAt }) => Math.max(latest, expiresAt), 0);
    const pairs = [...groupBy(row, ({ topic }) => topic)].map(([topic, own]) => [topic, own.map(({ id }) => id)]);
    await this.db.write(
      'INSERT INTO mqtt_expiry (bucket, due_at, part, messages) VALUES (?, ?, ?, ?) USING TTL ?',
      [bucketOf(dueAt), dueAt, types.Uuid.random(), JSON.stringify(pairs), ttlOf(dueAt, now)],
      timestamp,
    );
  }

  /**
   * Passes what is due to `expire`, until that has removed `limit` messages or nothing is due. A row goes when all its
   * messages have gone, so that an interrupted purge continues with it.
   * @returns how many messages were removed, and whether the purge stopped before its end.
   */
  async purge(now: number, limit: number, expire: Expire): Promise<{ removed: number; more: boolean }> {
    let removed = 0;
    const buckets = await this.db.rows<{ bucket: types.Long }>(
      'SELECT bucket FROM mqtt_expiry_bucket WHERE shard = 0 AND bucket <= ? LIMIT ?',
      [bucketOf(now), BUCKETS_PER_STEP],
    );
    for (const bucket of buckets.map((row) => row.bucket.toNumber())) {
      for (let rows = await this.due(bucket, now); rows.length > 0; rows = await this.due(bucket, now)) {
        if (removed >= limit) return { removed, more: true };
        const taken = split(rows, Infinity, limit - removed, (row) => refsOf(row).length)[0] ?? [];
        const refs = taken.flatMap(refsOf);
        // The next call takes this row as a whole, which is less work than a part of it now.
        if (removed > 0 && refs.length > limit - removed) return { removed, more: true };
        const step = await expire(refs, now, limit - removed);
        removed += step.removed;
        if (!step.isDone) return { removed, more: true };
        await this.forget(bucket, taken);
      }
      await this.close(bucket, now);
    }
    return { removed, more: buckets.length === BUCKETS_PER_STEP };
  }

  private due(bucket: number, now: number): Promise<ExpiryRow[]> {
    return this.db.rows<ExpiryRow>(
      'SELECT due_at, part, messages, writetime(messages) AS at FROM mqtt_expiry WHERE bucket = ? AND due_at <= ? LIMIT ?',
      [bucket, now, ROWS_AT_ONCE],
    );
  }

  /**
   * The deletion is later than the writes of the rows, whatever the writers' clocks said: otherwise the rows would be
   * found again and again.
   */
  private async forget(bucket: number, rows: readonly ExpiryRow[]): Promise<void> {
    const timestamp = Math.max(this.db.timestamp(), ...rows.map(({ at }) => toNumber(at) ?? 0));
    await this.db.writeTogether(
      rows.map(({ due_at, part }) => ({
        query: 'DELETE FROM mqtt_expiry USING TIMESTAMP ? WHERE bucket = ? AND due_at = ? AND part = ?',
        params: [timestamp, bucket, due_at, part],
      })),
    );
  }

  private async close(bucket: number, now: number): Promise<void> {
    if ((bucket + 1) * BUCKET_MS > now - CLOSED_AFTER_MS) return;
    await this.db.write('DELETE FROM mqtt_expiry WHERE bucket = ?', [bucket]);
    await this.db.write('DELETE FROM mqtt_expiry_bucket WHERE shard = 0 AND bucket = ?', [bucket]);
  }
}

function refsOf({ messages }: ExpiryRow): MessageRef[] {
  return (JSON.parse(messages) as [string, string[]][]).flatMap(([topic, ids]) => ids.map((id) => ({ topic, id })));
}
