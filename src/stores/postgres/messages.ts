import type { Message, MessageRef } from '../../mqtt/message';
import { saveOrBisect } from '../shared/bisect';
import type { BoundStatement } from '../shared/operator';
import type { Value } from '../../config/statements';
import { fitsText } from '../shared/text';
import type { MessageQuery, MessageStore, Purged, Refusal, StoredRef, TopicCount, TopicQuery } from '../store';
import { batchesOf } from './batches';
import { countsOf, oldestOf } from './counts';
import type { Database } from './database';
import { ARRAYS, COLUMNS, propertiesText, PUBLISHED_AT, toColumns, toMessage, type MessageRow } from './rows';
import { PageReader } from './page-reader';
import { besideKey, ID, KEY, keyOf, TopicIndex } from './topic-index';

/** A trim may have to remove very many messages; this limit keeps each statement short. */
const DELETED_AT_ONCE = 10_000;
/** Below this number the planner's estimate may be missing or inexact, and counting is cheap. */
const EXACT_COUNT = 100_000;

/**
 * One topic's messages, to be read ORDER BY KEY, ID. The range makes the planner use this index. With an equality it
 * may read another topic's million messages in the index of ids, or sort the whole topic, to return a hundred rows.
 */
const ofTopic = (topic: string): string => `(${KEY}, ${ID}) > (:key, :after) AND ${KEY} <= :key ${besideKey(topic)}`;

const SAVE = `CALL mqtt_save_messages(${ARRAYS}, :now::bigint)`;
const REMOVE = 'CALL mqtt_remove_messages(:ids::text[], :until::bigint, 0)';

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
   * Keeps promises 2 and 3 when another process handles an acknowledgement at the same time. mqtt_remove_messages writes
   * its tombstones, commits, and then deletes the messages. mqtt_save_messages writes the messages, commits, and then
   * deletes those that have a tombstone. Each statement sees all that was committed before it begins. So if the messages
   * are committed before the removal's delete begins, that delete finds them. Otherwise the tombstones, which were
   * committed earlier still, are found by the save's delete. The save also looks for tombstones before it writes, so
   * that a message that was acknowledged long ago is not visible for a moment.
   *
   * A removal's first commit does not wait for the disk. If the database crashes before the second commit, tombstones
   * may be lost that a save has obeyed. Nothing comes back by that: removeMessages() has not returned, so its caller
   * repeats it, and the message was acknowledged.
   */
  async saveMessages(messages: readonly Message[], now = Date.now()): Promise<Refusal[]> {
    const refusals: Refusal[] = [];
    for (const batch of batchesOf(messages)) {
      const refused = await saveOrBisect(batch, async (some) => void (await this.db.rows(SAVE, { ...toColumns(some), now })));
      refusals.push(...refused);
    }
    return refusals;
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

  completion({ id, payload, username, properties, publishReceivedAt, expiresAt }: Message): BoundStatement {
    return {
      sql: `UPDATE mqtt_msg SET payload_bin = ?::bytea, username = ?, properties = ?::json, published_at = ?::bigint, expires_at = ?::bigint
        WHERE ${ID} = ? AND published_at IS NULL`,
      values: [fitsText(payload) ? null : payload, username, propertiesText(properties), publishReceivedAt, expiresAt, id],
    };
  }

  payloadOf({ payload }: Message): Value {
    return fitsText(payload) ? payload.toString() : null;
  }

  async removeMessages(refs: readonly MessageRef[], tombstoneUntil: number): Promise<number> {
    if (refs.length === 0) return 0;
    const [row] = await this.db.rows<{ removed: string }>(REMOVE, { ids: refs.map(({ id }) => id), until: tombstoneUntil });
    return Number(row?.removed ?? 0);
  }

  async bury(ids: readonly string[], tombstoneUntil: number): Promise<void> {
    await this.db.rows('INSERT INTO mqtt_tombstone (msgid, expires_at) SELECT id, :until::bigint FROM unnest(:ids::text[]) AS id', {
      ids,
      until: tombstoneUntil,
    });
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

  /** Each step reads the `keep` newest messages to find the first one to remove. */
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

  /**
   * Sorted like the indexes on expires_at. Without it the planner may read the whole table to find that nothing has
   * expired. Tombstones are found by their place, because another one of the same id may live longer.
   */
  async purgeExpired(now: number, limit: number): Promise<Purged> {
    const [tombstones] = await this.db.rows<Count>(
      `WITH gone AS (DELETE FROM mqtt_tombstone WHERE ctid = ANY(ARRAY(
         SELECT ctid FROM mqtt_tombstone WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit)) RETURNING 1) SELECT count(*) AS n FROM gone`,
      { now, limit },
    );
    const removed = await this.deleted('ARRAY(SELECT msgid FROM mqtt_msg WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit)', {
      now,
      limit,
    });
    return { removed, more: removed >= limit || Number(tombstones?.n ?? 0) >= limit };
  }

  /**
   * Uses an array instead of IN (SELECT ...), because a planner without statistics would read the whole table for a
   * join.
   */
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

/** The store's own statements use named bindings. */
function named(condition: BoundStatement | null): { sql: string; bindings: Record<string, Value> } {
  if (condition === null) return { sql: '', bindings: {} };
  let n = 0;
  const sql = condition.sql.replace(/\\\?|\?/g, (mark) => (mark === '?' ? `:selected${n++}` : '?'));
  return { sql: `AND ${sql}`, bindings: Object.fromEntries(condition.values.map((value, i) => [`selected${i}`, value])) };
}
