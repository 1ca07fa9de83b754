import type { types } from 'cassandra-driver';
import { lastPositions } from '../shared/newest';
import { compareText } from '../shared/order';
import { seenDay, Sweep } from '../shared/unseen';
import { versioned } from '../shared/versions';
import type { Position, PositionStore, Purged } from '../store';
import type { Database } from './database';
import { writePositions } from './position-writes';
import { toNumber } from './rows';
import { GUARD_MS } from './topic-index';

interface PositionRow {
  readonly clientid: string;
  readonly topic: string;
  readonly msgid: string | null;
  readonly receipts: string | null;
  readonly version: types.Long | null;
}

interface Entry {
  readonly clientid: string;
  readonly at: types.Long | null;
}

interface SweptRow extends PositionRow {
  /** In microseconds. */
  readonly msgid_at: types.Long | null;
  readonly receipts_at: types.Long | null;
}

const COLUMNS = 'clientid, topic, msgid, receipts, version';
const PAGE = 500;

/** acked, and mqtt_acked_topic, which tells who has a position in a topic. */
export class PositionTable implements PositionStore {
  private readonly sweep: Sweep<SweptRow, string>;

  constructor(private readonly db: Database) {
    const cql = `SELECT ${COLUMNS}, writetime(msgid) AS msgid_at, writetime(receipts) AS receipts_at FROM acked`;
    this.sweep = new Sweep((cursor, size) => db.page<SweptRow>(cql, [], size, cursor));
  }

  async getPositions(consumer: string, topics: readonly string[]): Promise<Position[]> {
    const found = await this.db.wave([...new Set(topics)], (topic) => this.one(consumer, topic));
    return found.flat();
  }

  private async one(consumer: string, topic: string): Promise<Position[]> {
    return toPositions(await this.db.rows<PositionRow>(`SELECT ${COLUMNS} FROM acked WHERE clientid = ? AND topic = ?`, [consumer, topic]));
  }

  async listPositions(consumer: string, after: string, limit: number): Promise<Position[]> {
    const found: Position[] = [];
    for (let from = after, asked = Math.min(PAGE, limit); asked > 0; asked = Math.min(PAGE, limit - found.length)) {
      const rows = await this.db.rows<PositionRow>(
        `SELECT ${COLUMNS} FROM acked WHERE clientid = ? AND topic > ? ORDER BY topic ASC LIMIT ?`,
        [consumer, from, asked],
      );
      found.push(...toPositions(rows));
      if (rows.length < asked) break;
      from = rows.at(-1)?.topic ?? from;
    }
    return found;
  }

  /**
   * The index is written first, because a position that is missing there would not be found. Its entries stay, because
   * deleting one would race with the consumer's next position.
   */
  async putPositions(positions: readonly Position[]): Promise<void> {
    const { kept, gone } = lastPositions(positions);
    await this.db.wave(kept, ({ consumer, topic }) => enterConsumer(this.db, topic, consumer));
    await writePositions(this.db, [...kept, ...gone]);
  }

  purgePositions(before: number, limit: number): Promise<Purged> {
    return this.sweep.run(limit, async (rows) => {
      const written = rows
        .map((row) => ({ row, at: Math.max(toNumber(row.msgid_at) ?? 0, toNumber(row.receipts_at) ?? 0) }))
        .filter(({ at }) => at > 0);
      // Rows of EMQX's plugin have no time, so they count as seen now.
      await this.db.wave(
        written.filter(({ row }) => row.receipts === null),
        ({ row, at }) => this.seenNow(row, at),
      );
      const due = written
        .flatMap(({ row, at }) => toPositions([row]).map((position) => ({ ...position, at })))
        .filter((position) => seenDay(position, position.at / 1_000) <= before);
      // The deletions have the timestamp of the write that they remove, so that a newer position stays, and the newer
      // entry of its consumer.
      await this.db.wave(due, ({ consumer, topic, at }) =>
        this.db.write('DELETE FROM acked WHERE clientid = ? AND topic = ?', [consumer, topic], at),
      );
      await this.db.wave(due, ({ consumer, topic, at }) =>
        this.db.write('DELETE FROM mqtt_acked_topic WHERE topic = ? AND clientid = ?', [topic, consumer], at),
      );
      return due.length;
    });
  }

  private seenNow({ clientid, topic, msgid }: PositionRow, at: number): Promise<void> {
    const receipts = JSON.stringify([`@${Date.now()}`]);
    return this.db.write(
      'INSERT INTO acked (clientid, topic, msgid, receipts) VALUES (?, ?, ?, ?)',
      [clientid, topic, msgid, receipts],
      at + 1,
    );
  }

  async positionsOfTopic(topic: string): Promise<Position[]> {
    const found: Position[] = [];
    const cql = 'SELECT clientid, writetime(saved_at) AS at FROM mqtt_acked_topic WHERE topic = ?';
    for await (const entries of this.db.pages<Entry>(cql, [topic], PAGE)) {
      const positions = await this.db.wave(entries, ({ clientid }) => this.one(clientid, topic));
      found.push(...positions.flat());
      await this.forget(
        topic,
        entries.filter((_, i) => positions[i]?.length === 0),
      );
    }
    return found.sort((a, b) => compareText(a.consumer, b.consumer));
  }

  /** As in TopicIndex, the deletion has the timestamp of the entry's write, so that a newer entry stays. */
  private async forget(topic: string, entries: readonly Entry[]): Promise<void> {
    const removable = (Date.now() - GUARD_MS) * 1_000;
    const stale = entries.map(({ clientid, at }) => ({ clientid, at: toNumber(at) ?? 0 })).filter(({ at }) => at < removable);
    await this.db.wave(stale, ({ clientid, at }) =>
      this.db.write('DELETE FROM mqtt_acked_topic WHERE topic = ? AND clientid = ?', [topic, clientid], at),
    );
  }
}

export const enterConsumer = (db: Database, topic: string, consumer: string): Promise<void> =>
  db.write('INSERT INTO mqtt_acked_topic (topic, clientid, saved_at) VALUES (?, ?, ?)', [topic, consumer, new Date()]);

/** A row of EMQX's plugin without an id contains no position. */
function toPositions(rows: readonly PositionRow[]): Position[] {
  return rows
    .filter(({ msgid, receipts }) => msgid !== null || receipts !== null)
    .map(({ clientid, topic, msgid, receipts, version }) => ({
      consumer: clientid,
      topic,
      id: msgid ?? '',
      receipts: receipts === null ? [] : (JSON.parse(receipts) as string[]),
      ...versioned(toNumber(version)),
    }));
}
