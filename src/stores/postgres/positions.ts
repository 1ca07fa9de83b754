import { lastPositions } from '../shared/newest';
import { seenDay } from '../shared/unseen';
import { versioned, versionOf } from '../shared/versions';
import type { Position, PositionStore, Purged } from '../store';
import type { Database } from './database';
import { purgeUnseen } from './purge';
import { KEY, keyOf } from './topic-index';

interface PositionRow {
  readonly clientid: string;
  readonly topic: string;
  readonly msgid: string | null;
  readonly receipts: readonly string[] | null;
  readonly version: string;
}

/** A row of EMQX's plugin whose message is gone contains no position. */
const KNOWN = '(msgid IS NOT NULL OR receipts IS NOT NULL)';

/**
 * mqtt_acked. Rows are written in order, so that batches with common rows wait for each other instead of deadlocking.
 */
export class PositionTable implements PositionStore {
  constructor(private readonly db: Database) {}

  async getPositions(consumer: string, topics: readonly string[]): Promise<Position[]> {
    const rows = await this.db.rows<PositionRow>(
      `SELECT clientid, topic, msgid, receipts, version FROM mqtt_acked
       WHERE mqtt_key(clientid) = mqtt_key(:consumer) AND ${KNOWN}
         AND mqtt_key(topic) = ANY(ARRAY(SELECT mqtt_key(t) FROM unnest(:topics::text[]) AS t))`,
      { consumer, topics },
    );
    return rows.map(toPosition);
  }

  async listPositions(consumer: string, after: string, limit: number): Promise<Position[]> {
    const rows = await this.db.rows<PositionRow>(
      `SELECT clientid, topic, msgid, receipts, version FROM mqtt_acked
       WHERE (mqtt_key(clientid), ${KEY}) >= (mqtt_key(:consumer), :key) AND mqtt_key(clientid) <= mqtt_key(:consumer)
         AND topic COLLATE "C" > :after AND ${KNOWN}
       ORDER BY mqtt_key(clientid), ${KEY}, topic COLLATE "C" LIMIT :limit`,
      { consumer, key: keyOf(after), after, limit },
    );
    return rows.map(toPosition);
  }

  async positionsOfTopic(topic: string): Promise<Position[]> {
    const rows = await this.db.rows<PositionRow>(
      `SELECT clientid, topic, msgid, receipts, version FROM mqtt_acked
       WHERE mqtt_key(topic) = mqtt_key(:topic) AND ${KNOWN} ORDER BY clientid COLLATE "C"`,
      { topic },
    );
    return rows.map(toPosition);
  }

  /** PostgreSQL checks `version` again after it has waited for another writer of the row. */
  async putPositions(positions: readonly Position[]): Promise<void> {
    const { kept, gone } = lastPositions(positions);
    if (gone.length > 0) {
      await this.db.rows(
        `WITH gone AS MATERIALIZED (SELECT mqtt_key(clientid) AS client_key, mqtt_key(topic) AS topic_key, version
             FROM unnest(:consumers::text[], :topics::text[], :versions::bigint[]) AS g(clientid, topic, version)),
           locked AS MATERIALIZED (SELECT 1 FROM mqtt_acked a, gone WHERE mqtt_key(a.clientid) = gone.client_key AND mqtt_key(a.topic) = gone.topic_key
             ORDER BY a.clientid COLLATE "C", a.topic COLLATE "C" FOR UPDATE OF a)
         DELETE FROM mqtt_acked USING gone
         WHERE (SELECT count(*) FROM locked) > 0 AND mqtt_key(mqtt_acked.clientid) = gone.client_key AND mqtt_key(mqtt_acked.topic) = gone.topic_key
           AND mqtt_acked.version <= gone.version`,
        { consumers: gone.map(({ consumer }) => consumer), topics: gone.map(({ topic }) => topic), versions: gone.map(versionOf) },
      );
    }
    if (kept.length === 0) return;
    await this.db.rows(
      `INSERT INTO mqtt_acked (clientid, topic, msgid, receipts, mid, seen_at, version)
       SELECT p.clientid, p.topic, nullif(p.msgid, ''), p.receipts, (SELECT id FROM mqtt_msg WHERE mqtt_msg.msgid COLLATE "C" = p.msgid), p.seen_at, p.version
       FROM unnest(:consumers::text[], :topics::text[], :ids::text[], :receipts::json[], :seen::bigint[], :versions::bigint[])
         AS p(clientid, topic, msgid, receipts, seen_at, version)
       ORDER BY clientid COLLATE "C", topic COLLATE "C"
       ON CONFLICT (mqtt_key(clientid), mqtt_key(topic)) DO UPDATE
         SET msgid = excluded.msgid, receipts = excluded.receipts, mid = coalesce(excluded.mid, mqtt_acked.mid), seen_at = excluded.seen_at,
           version = excluded.version
         WHERE mqtt_acked.version <= excluded.version`,
      {
        consumers: kept.map(({ consumer }) => consumer),
        topics: kept.map(({ topic }) => topic),
        ids: kept.map(({ id }) => id),
        receipts: kept.map(({ receipts }) => JSON.stringify(receipts)),
        seen: kept.map((position) => seenDay(position, Date.now())),
        versions: kept.map(versionOf),
      },
    );
  }

  purgePositions(before: number, limit: number): Promise<Purged> {
    return purgeUnseen(this.db, 'mqtt_acked', 'NULL::bigint', { before, limit });
  }
}

const toPosition = ({ clientid, topic, msgid, receipts, version }: PositionRow): Position => ({
  consumer: clientid,
  topic,
  id: msgid ?? '',
  receipts: receipts ?? [],
  ...versioned(version),
});
