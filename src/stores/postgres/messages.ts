import type { Message, MessageRef } from '../../mqtt/message';
import { saveOrBisect } from '../shared/bisect';
import type { BoundStatement } from '../shared/operator';
import type { Value } from '../../config/statements';
import { fitsText } from '../shared/text';
import type { MessageQuery, MessageStore, Purged, Refusal, StoredRef, TopicCount, TopicQuery } from '../store';
import { countsOf, oldestOf } from './counts';
import type { Database } from './database';
import { COLUMNS, PUBLISHED_AT, toColumns, toMessage, UNNEST, type MessageRow } from './rows';
import { PageReader } from './page-reader';
import { besideKey, ID, KEY, keyOf, TopicIndex } from './topic-index';

/** A trim may have to remove very many: none of its statements takes long. */
const DELETED_AT_ONCE = 10_000;
/** Below it the planner's estimate may be missing or rough and counting is cheap. */
const EXACT_COUNT = 100_000;

/**
 * One topic's messages, to be read ORDER BY KEY, ID. The range keeps the planner in this index: with an equality it may walk another
 * topic's million messages in the index of ids, or sort the whole topic, to return a hundred.
 */
const ofTopic = (topic: string): string => `(${KEY}, ${ID}) > (:key, :after) AND ${KEY} <= :key ${besideKey(topic)}`;

interface Count {
  readonly n: string;
}

/** mqtt_msg and mqtt_tombstone. */
export class MessageTable implements MessageStore {
  private readonly topicIndex: TopicIndex;
  private readonly pages: PageReader;

  constructor(private readonly db: Database) {
    this.topicIndex = new TopicIndex(db, 'mqtt_msg');
    this.pages = new PageReader(db, (query) => this.page(query, null));
  }

  /**
   * Promises 2 and 3 when an ack runs at the same time in another process: remove() first leaves its tombstones, then looks for the
   * messages; save() first stores the messages, then looks for tombstones. Whoever looks last sees what the other did. Ids are
   * written in order, so that two batches with the same ids wait for each other instead of dying in a deadlock.
   */
  saveMessages(messages: readonly Message[], now = Date.now()): Promise<Refusal[]> {
    return saveOrBisect(messages, async (batch) => {
      await this.db.rows(
        `INSERT INTO mqtt_msg (msgid, sender, topic, qos, retain, payload, arrived, payload_bin, username, properties, published_at, expires_at)
         SELECT msgid, sender, topic, qos, retain, payload, to_timestamp(published_at / 1000.0)::timestamp, payload_bin, username, properties,
                published_at, expires_at
         FROM ${UNNEST}
         WHERE NOT EXISTS (SELECT 1 FROM mqtt_tombstone t WHERE t.msgid = m.msgid AND t.expires_at > :now)
         ORDER BY ${ID}
         ON CONFLICT DO NOTHING`,
        { ...toColumns(batch), now },
      );
      await this.removeBuried(
        batch.map(({ id }) => id),
        now,
      );
    });
  }

  async removeBuried(ids: readonly string[], now: number): Promise<void> {
    await this.db.rows(
      `DELETE FROM mqtt_msg WHERE ${ID} = ANY(ARRAY(
         SELECT msgid FROM mqtt_tombstone WHERE msgid = ANY(:ids::text[]) AND expires_at > :now ORDER BY msgid))`,
      { ids, now },
    );
  }

  async known(ids: readonly string[], now: number): Promise<ReadonlySet<string>> {
    const rows = await this.db.rows<{ msgid: string }>(
      `SELECT msgid FROM mqtt_tombstone WHERE msgid = ANY(:ids::text[]) AND expires_at > :now
       UNION ALL SELECT msgid FROM mqtt_msg WHERE ${ID} = ANY(:ids::text[])`,
      { ids, now },
    );
    return new Set(rows.map(({ msgid }) => msgid));
  }

  async complete(messages: readonly Message[]): Promise<void> {
    await this.db.rows(
      `UPDATE mqtt_msg SET payload_bin = m.payload_bin, username = m.username, properties = m.properties, published_at = m.published_at, expires_at = m.expires_at
       FROM ${UNNEST} WHERE mqtt_msg.msgid COLLATE "C" = m.msgid AND mqtt_msg.published_at IS NULL`,
      toColumns(messages),
    );
  }

  payloadOf({ payload }: Message): Value {
    return fitsText(payload) ? payload.toString() : null;
  }

  async removeMessages(refs: readonly MessageRef[], tombstoneUntil: number): Promise<number> {
    const ids = refs.map(({ id }) => id);
    await this.bury(ids, tombstoneUntil);
    return this.deleted(':ids::text[]', { ids });
  }

  async bury(ids: readonly string[], tombstoneUntil: number): Promise<void> {
    await this.db.rows(
      `INSERT INTO mqtt_tombstone AS t (msgid, expires_at)
       SELECT DISTINCT id COLLATE "C", :until::bigint FROM unnest(:ids::text[]) AS id ORDER BY 1
       ON CONFLICT (msgid) DO UPDATE SET expires_at = excluded.expires_at WHERE t.expires_at < excluded.expires_at`,
      { ids, until: tombstoneUntil },
    );
  }

  async getMessage(id: string): Promise<Message | null> {
    const [row] = await this.db.rows<MessageRow>(`SELECT ${COLUMNS}, retain FROM mqtt_msg WHERE ${ID} = :id`, { id });
    return row === undefined ? null : toMessage(row, row.retain === 1);
  }

  listMessages(query: MessageQuery, condition: BoundStatement | null = null): Promise<Message[]> {
    return condition === null ? this.pages.read(query) : this.page(query, condition);
  }

  private async page({ topic, after, limit, now }: MessageQuery, condition: BoundStatement | null): Promise<Message[]> {
    const selected = named(condition);
    const rows = await this.db.rows<MessageRow>(
      `SELECT ${COLUMNS}, retain FROM mqtt_msg WHERE ${ofTopic(topic)} AND (expires_at IS NULL OR expires_at > :now) ${selected.sql}
       ORDER BY ${KEY}, ${ID} LIMIT :limit`,
      { key: keyOf(topic), topic, after, now, limit, ...selected.bindings },
    );
    return rows.map((row) => toMessage(row, row.retain === 1));
  }

  async listRefs({ topic, after, limit, now }: MessageQuery, condition: BoundStatement | null = null): Promise<StoredRef[]> {
    const selected = named(condition);
    const rows = await this.db.rows<Pick<MessageRow, 'msgid' | 'published_at'>>(
      `SELECT msgid, ${PUBLISHED_AT} FROM mqtt_msg WHERE ${ofTopic(topic)} AND (expires_at IS NULL OR expires_at > :now) ${selected.sql}
       ORDER BY ${KEY}, ${ID} LIMIT :limit`,
      { key: keyOf(topic), topic, after, now, limit, ...selected.bindings },
    );
    return rows.map(({ msgid, published_at: at }) => ({ id: msgid, publishReceivedAt: Number(at ?? 0) }));
  }

  listTopics(query: TopicQuery): Promise<string[]> {
    return this.topicIndex.list(query);
  }

  /** Reads the `keep` newest to find the first that is too many, for each step. */
  async trimTopic(topic: string, keep: number): Promise<number> {
    let removed = 0;
    for (let step = DELETED_AT_ONCE; step === DELETED_AT_ONCE; removed += step) {
      step = await this.deleted(
        `ARRAY(SELECT msgid FROM mqtt_msg WHERE ${ofTopic(topic)} AND ${ID} <= (
           SELECT msgid FROM mqtt_msg WHERE ${ofTopic(topic)} ORDER BY ${KEY} DESC, ${ID} DESC OFFSET :keep LIMIT 1)
         ORDER BY ${KEY}, ${ID} LIMIT ${DELETED_AT_ONCE})`,
        { key: keyOf(topic), topic, after: '', keep },
      );
    }
    return removed;
  }

  /** In the order of the indexes on expires_at: without it the planner may read everything to find that nothing has expired. */
  async purgeExpired(now: number, limit: number): Promise<Purged> {
    const [tombstones] = await this.db.rows<Count>(
      `WITH gone AS (DELETE FROM mqtt_tombstone WHERE msgid = ANY(ARRAY(
         SELECT msgid FROM mqtt_tombstone WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit)) RETURNING 1) SELECT count(*) AS n FROM gone`,
      { now, limit },
    );
    const removed = await this.deleted('ARRAY(SELECT msgid FROM mqtt_msg WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit)', {
      now,
      limit,
    });
    return { removed, more: removed >= limit || Number(tombstones?.n ?? 0) >= limit };
  }

  /** By an array, not by IN (SELECT ...): a planner without statistics would read the whole table for a join. */
  private async deleted(ids: string, bindings: Record<string, unknown>): Promise<number> {
    const [row] = await this.db.rows<Count>(
      `WITH gone AS (DELETE FROM mqtt_msg WHERE ${ID} = ANY(${ids}) RETURNING 1) SELECT count(*) AS n FROM gone`,
      bindings,
    );
    return Number(row?.n ?? 0);
  }

  async countMessages(): Promise<number> {
    const [estimate] = await this.db.rows<{ n: number }>(`SELECT reltuples AS n FROM pg_class WHERE oid = 'mqtt_msg'::regclass`);
    if (estimate !== undefined && estimate.n > EXACT_COUNT) return Math.round(estimate.n);
    const [exact] = await this.db.rows<Count>('SELECT count(*) AS n FROM mqtt_msg');
    return Number(exact?.n ?? 0);
  }

  topicCounts(topics: readonly string[], now: number): Promise<ReadonlyMap<string, TopicCount>> {
    return countsOf(this.db, topics, now);
  }

  oldestMessageAt(now: number): Promise<number | null> {
    return oldestOf(this.db, now);
  }
}

/** Our own statements bind by name. */
function named(condition: BoundStatement | null): { sql: string; bindings: Record<string, Value> } {
  if (condition === null) return { sql: '', bindings: {} };
  let n = 0;
  const sql = condition.sql.replace(/\\\?|\?/g, (mark) => (mark === '?' ? `:selected${n++}` : '?'));
  return { sql: `AND ${sql}`, bindings: Object.fromEntries(condition.values.map((value, i) => [`selected${i}`, value])) };
}
