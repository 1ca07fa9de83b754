import type { Message, MessageRef } from '../../mqtt/message';
import type { BoundStatement } from '../shared/operator';
import type { Value } from '../../config/statements';
import type { MessageQuery, MessageStore, Purged, Refusal, StoredRef, TopicCount, TopicQuery } from '../store';
import { countsOf, oldestOf } from './counts';
import type { Database } from './database';
import { toOtherKey } from './errors';
import { COLUMNS, FILLED, insertInStatements, listed, PUBLISHED_AT, toMessage, type MessageRow } from './rows';
import { burial, deletionOfBuried } from './tombstones';
import { ofTopic, TopicIndex } from './topic-index';

/** Up to this number counting is cheap. */
const EXACT_COUNT = 100_000;
const DELETED_AT_ONCE = 10_000;
/** Without it the planner may read another topic's messages in the index of ids. */
const BY_TOPIC = 'FORCE INDEX (mqtt_msg_topic_key_msgid)';

/**
 * The first part keeps a message that is stored already. If a key of the operator's rejects a row, the second part fails, because a
 * subquery with two rows is no value. Without it the server would report a message as stored that is not.
 */
const STORED_BEFORE = 'msgid = IF(mqtt_msg.msgid = VALUES(msgid), mqtt_msg.msgid, (SELECT 1 UNION SELECT 2))';

/** mqtt_msg and mqtt_tombstone. */
export class MessageTable implements MessageStore {
  private readonly topicIndex: TopicIndex;

  constructor(private readonly db: Database) {
    this.topicIndex = new TopicIndex(db, 'mqtt_msg');
  }

  /**
   * Keeps promises 2 and 3 when another process handles an acknowledgement at the same time. remove() commits its tombstones and then
   * deletes the messages. save() inserts the messages and then deletes those that have a tombstone, in one transaction, so that nobody
   * reads a message that was acknowledged. If a tombstone is committed before save() looks for it, save() deletes the message. If not,
   * remove() begins to delete after that look, so the message is in the table already, and the DELETE waits until save() has committed:
   * a DELETE reads rows that are not committed yet. Ids are written in order, so that two batches with the same ids rarely deadlock.
   */
  saveMessages(messages: readonly Message[], now = Date.now()): Promise<Refusal[]> {
    const ordered = [...messages].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
    return insertInStatements(this.db, ordered, async (batch) => {
      const statements = [
        'BEGIN',
        `INSERT INTO mqtt_msg (${FILLED}, retain) VALUES ${batch.map(({ values, retain }) => `(${values},${retain})`).join(',')}
         ON DUPLICATE KEY UPDATE ${STORED_BEFORE}`,
        deletionOfBuried(
          batch.map(({ id }) => id),
          now,
        ),
        'COMMIT',
      ];
      await this.db.together(statements).catch((error: unknown) => {
        throw toOtherKey(error);
      });
    });
  }

  async removeBuried(ids: readonly string[], now: number): Promise<void> {
    if (ids.length > 0) await this.db.together([deletionOfBuried(ids, now)]);
  }

  async known(ids: readonly string[], now: number): Promise<ReadonlySet<string>> {
    const stored = ids.length === 0 ? [] : await this.db.rows<{ msgid: string }>('SELECT msgid FROM mqtt_msg WHERE msgid IN (?)', [ids]);
    return new Set([...(await this.buried(ids, now)), ...stored.map(({ msgid }) => msgid)]);
  }

  completion({ id, username, properties, publishReceivedAt, expiresAt }: Message): BoundStatement {
    return {
      sql: 'UPDATE mqtt_msg SET username = ?, properties = ?, published_at = ?, expires_at = ? WHERE msgid = ? AND published_at IS NULL',
      values: [username, JSON.stringify(properties), publishReceivedAt, expiresAt, id],
    };
  }

  payloadOf({ payload }: Message): Value {
    return payload;
  }

  /** Which of the ids have a tombstone. */
  private async buried(ids: readonly string[], now: number): Promise<Set<string>> {
    if (ids.length === 0) return new Set();
    const rows = await this.db.rows<{ msgid: string }>('SELECT msgid FROM mqtt_tombstone WHERE msgid IN (?) AND expires_at > ?', [
      ids,
      now,
    ]);
    return new Set(rows.map(({ msgid }) => msgid));
  }

  /** One round trip. The tombstones are committed before the messages are deleted (see saveMessages). */
  async removeMessages(refs: readonly MessageRef[], tombstoneUntil: number): Promise<number> {
    const ids = [...new Set(refs.map(({ id }) => id))].sort();
    const [, removed] = await this.db.together([burial(ids, tombstoneUntil), `DELETE FROM mqtt_msg WHERE msgid IN (${listed(ids)})`]);
    return removed ?? 0;
  }

  async bury(ids: readonly string[], tombstoneUntil: number): Promise<void> {
    await this.db.together([burial(ids, tombstoneUntil)]);
  }

  async getMessage(id: string): Promise<Message | null> {
    const rows = await this.db.rows<MessageRow>(`SELECT ${COLUMNS}, retain FROM mqtt_msg WHERE msgid = ?`, [id]);
    const row = rows.find(({ msgid }) => msgid === id);
    return row === undefined ? null : toMessage(row, row.retain === 1);
  }

  async listMessages({ topic, after, limit, now }: MessageQuery, condition: BoundStatement | null = null): Promise<Message[]> {
    const { where, bindings } = ofTopic(topic);
    const rows = await this.db.rows<MessageRow>(
      `SELECT ${COLUMNS}, retain FROM mqtt_msg ${BY_TOPIC}
       WHERE ${where} AND msgid > ? AND (expires_at IS NULL OR expires_at > ?) ${condition === null ? '' : `AND ${condition.sql}`}
       ORDER BY topic_key, msgid LIMIT ?`,
      [...bindings, after, now, ...(condition?.values ?? []), limit],
    );
    return rows.map((row) => toMessage(row, row.retain === 1));
  }

  async listRefs({ topic, after, limit, now }: MessageQuery, condition: BoundStatement | null = null): Promise<StoredRef[]> {
    const { where, bindings } = ofTopic(topic);
    const rows = await this.db.rows<Pick<MessageRow, 'msgid' | 'published_at'>>(
      `SELECT msgid, ${PUBLISHED_AT} FROM mqtt_msg ${BY_TOPIC}
       WHERE ${where} AND msgid > ? AND (expires_at IS NULL OR expires_at > ?) ${condition === null ? '' : `AND ${condition.sql}`}
       ORDER BY topic_key, msgid LIMIT ?`,
      [...bindings, after, now, ...(condition?.values ?? []), limit],
    );
    return rows.map(({ msgid, published_at: at }) => ({ id: msgid, publishReceivedAt: Number(at ?? 0) }));
  }

  listTopics(query: TopicQuery): Promise<string[]> {
    return this.topicIndex.list(query);
  }

  /** Reads the `keep` newest messages to find the first one to remove. */
  async trimTopic(topic: string, keep: number): Promise<number> {
    const { where, bindings } = ofTopic(topic);
    const [newest] = await this.db.rows<{ msgid: string }>(
      `SELECT msgid FROM mqtt_msg ${BY_TOPIC} WHERE ${where} ORDER BY topic_key DESC, msgid DESC LIMIT 1 OFFSET ?`,
      [...bindings, keep],
    );
    if (newest === undefined) return 0;
    let removed = 0;
    for (let step = DELETED_AT_ONCE; step === DELETED_AT_ONCE; removed += step) {
      step = await this.db.delete(`DELETE FROM mqtt_msg WHERE ${where} AND msgid <= ? LIMIT ${DELETED_AT_ONCE}`, [
        ...bindings,
        newest.msgid,
      ]);
    }
    return removed;
  }

  async purgeExpired(now: number, limit: number): Promise<Purged> {
    const tombstones = await this.db.delete('DELETE FROM mqtt_tombstone WHERE expires_at <= ? ORDER BY expires_at LIMIT ?', [now, limit]);
    const removed = await this.db.delete('DELETE FROM mqtt_msg WHERE expires_at <= ? ORDER BY expires_at LIMIT ?', [now, limit]);
    return { removed, more: removed >= limit || tombstones >= limit };
  }

  async countMessages(): Promise<number> {
    const [exact] = await this.db.rows<{ n: number }>(
      `SELECT COUNT(*) AS n FROM (SELECT 1 FROM mqtt_msg LIMIT ${EXACT_COUNT + 1}) AS some`,
    );
    if (Number(exact?.n) <= EXACT_COUNT) return Number(exact?.n ?? 0);
    const [estimate] = await this.db.rows<{ n: number | null }>(
      `SELECT table_rows AS n FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'mqtt_msg'`,
    );
    return Math.max(EXACT_COUNT + 1, Number(estimate?.n ?? 0));
  }

  topicCounts(topics: readonly string[], now: number): Promise<ReadonlyMap<string, TopicCount>> {
    return countsOf(this.db, topics, now);
  }

  oldestMessageAt(now: number): Promise<number | null> {
    return oldestOf(this.db, now);
  }
}
