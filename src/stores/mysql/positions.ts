import { lastPositions } from '../shared/newest';
import { compareText } from '../shared/order';
import { seenDay } from '../shared/unseen';
import { versioned, versionOf } from '../shared/versions';
import type { Position, PositionStore, Purged } from '../store';
import type { Binding, Database } from './database';
import { hashOf } from './keys';
import { keyOf, mayBeCut } from './topic-index';

interface PositionRow {
  readonly clientid: string;
  readonly topic: string;
  readonly msgid: string | null;
  readonly receipts: string | null;
  readonly version: number | string;
}

const POSITION = 'SELECT clientid, topic, msgid, receipts, version FROM mqtt_acked';
/** A row of EMQX's plugin whose message is gone contains no position. */
const KNOWN = '(msgid IS NOT NULL OR receipts IS NOT NULL)';
const NOT_OLDER = 'mqtt_acked.version <= VALUES(version)';

/** mqtt_acked. Rows are written in order, so that batches with common rows rarely deadlock. */
export class PositionTable implements PositionStore {
  constructor(private readonly db: Database) {}

  async getPositions(consumer: string, topics: readonly string[]): Promise<Position[]> {
    if (topics.length === 0) return [];
    const rows = await this.db.rows<PositionRow>(`${POSITION} WHERE client_key = ? AND ${KNOWN} AND topic_hash IN (?)`, [
      hashOf(consumer),
      topics.map(hashOf),
    ]);
    return rows.map(toPosition);
  }

  async listPositions(consumer: string, after: string, limit: number): Promise<Position[]> {
    const page = (order: string) =>
      this.db.rows<PositionRow>(
        `${POSITION} WHERE client_key = ? AND topic_key >= ? AND CAST(topic AS BINARY) > ? AND ${KNOWN} ORDER BY ${order} LIMIT ?`,
        [hashOf(consumer), keyOf(after), Buffer.from(after), limit],
      );
    const rows = await page('client_key, topic_key');
    // Topics that share a key are in no order. Only in this case all topics of the consumer are sorted.
    const inOrder = !rows.some(({ topic }) => mayBeCut(keyOf(topic)));
    return (inOrder ? rows : await page('topic_key, CAST(topic AS BINARY)')).map(toPosition);
  }

  async positionsOfTopic(topic: string): Promise<Position[]> {
    const rows = await this.db.rows<PositionRow>(`${POSITION} WHERE topic_hash = ? AND ${KNOWN}`, [hashOf(topic)]);
    return rows.map(toPosition).sort((a, b) => compareText(a.consumer, b.consumer));
  }

  async putPositions(positions: readonly Position[]): Promise<void> {
    const { kept, gone } = lastPositions(positions);
    if (gone.length > 0) {
      await this.db.rows(
        `DELETE FROM mqtt_acked WHERE ${gone.map(() => '(client_key = ? AND topic_hash = ? AND version <= ?)').join(' OR ')}`,
        gone.flatMap((position) => [hashOf(position.consumer), hashOf(position.topic), versionOf(position)]),
      );
    }
    if (kept.length === 0) return;
    // MySQL assigns from left to right. `version` comes last, because the conditions after it would see the new
    // version.
    await this.db.rows(
      `INSERT INTO mqtt_acked (clientid, topic, msgid, receipts, seen_at, version, mid)
       VALUES ${kept.map(() => '(?, ?, ?, ?, ?, ?, (SELECT id FROM mqtt_msg WHERE msgid = ?))').join(', ')}
       ON DUPLICATE KEY UPDATE msgid = IF(${NOT_OLDER}, VALUES(msgid), msgid), receipts = IF(${NOT_OLDER}, VALUES(receipts), receipts),
         mid = IF(${NOT_OLDER}, COALESCE(VALUES(mid), mid), mid), seen_at = IF(${NOT_OLDER}, VALUES(seen_at), seen_at),
         version = GREATEST(version, VALUES(version))`,
      kept.sort((a, b) => compareText(a.topic, b.topic)).flatMap((position) => bindingsOf(position)),
    );
  }

  async purgePositions(before: number, limit: number): Promise<Purged> {
    const removed = await this.db.delete('DELETE FROM mqtt_acked WHERE seen_at <= ? ORDER BY seen_at LIMIT ?', [before, limit]);
    return { removed, more: removed >= limit };
  }
}

function bindingsOf(position: Position): Binding[] {
  const { consumer, topic, id, receipts } = position;
  return [consumer, topic, id === '' ? null : id, JSON.stringify(receipts), seenDay({ receipts }, Date.now()), versionOf(position), id];
}

const toPosition = ({ clientid, topic, msgid, receipts, version }: PositionRow): Position => ({
  consumer: clientid,
  topic,
  id: msgid ?? '',
  receipts: receipts === null ? [] : (JSON.parse(receipts) as string[]),
  ...versioned(version),
});
