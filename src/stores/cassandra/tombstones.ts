import type { types } from 'cassandra-driver';
import type { MessageRef } from '../../mqtt/message';
import type { Bound, Database } from './database';
import { ttlOf } from './expiry';
import { toNumber } from './rows';

interface TombstoneRow {
  readonly msgid: string;
  readonly expires_at: types.Long | null;
}

/**
 * mqtt_removed. It has the partition key of mqtt_msg, so that a tombstone and the deletion of its message are one write.
 * Cassandra itself removes tombstones a little after their end.
 */
export class Tombstones {
  constructor(private readonly db: Database) {}

  /** The end of a tombstone is its timestamp, so that the longest one wins. */
  statement({ topic, id }: MessageRef, until: number, now: number): Bound {
    return {
      query: 'INSERT INTO mqtt_removed (topic, msgid, expires_at) VALUES (?, ?, ?) USING TIMESTAMP ? AND TTL ?',
      params: [topic, id, until, Math.floor(until) * 1_000, ttlOf(until, now, 1)],
    };
  }

  /** @returns those of a topic's ids that have a tombstone. */
  async among(topic: string, ids: readonly string[], now: number): Promise<string[]> {
    const rows = await this.db.rows<TombstoneRow>('SELECT msgid, expires_at FROM mqtt_removed WHERE topic = ? AND msgid IN ?', [
      topic,
      ids,
    ]);
    return rows.filter(({ expires_at: at }) => (toNumber(at) ?? 0) > now).map(({ msgid }) => msgid);
  }
}
