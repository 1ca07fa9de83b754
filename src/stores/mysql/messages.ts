import type { Message, MessageRef } from '../../mqtt/message';
import type { BoundStatement } from '../shared/operator';
import type { Value } from '../../config/statements';
import type { MessageQuery, MessageStore, Purged, Refusal, StoredRef, TopicCount, TopicQuery } from '../store';
import { countsOf, oldestOf } from './counts';
import type { Database } from './database';
import { COLUMNS, FILLED, insertInStatements, PLACES, PUBLISHED_AT, toBindings, toMessage, type MessageRow } from './rows';
import { ofTopic, TopicIndex } from './topic-index';

/** Below it counting is cheap. */
const EXACT_COUNT = 100_000;
const DELETED_AT_ONCE = 10_000;
/** Without it the planner may walk another topic's messages in the index of ids. */
const BY_TOPIC = 'FORCE INDEX (mqtt_msg_topic_key_msgid)';

/** mqtt_msg and mqtt_tombstone. */
export class MessageTable implements MessageStore {
  private readonly topicIndex: TopicIndex;

  constructor(private readonly db: Database) {
    this.topicIndex = new TopicIndex(db, 'mqtt_msg');
  }

  /**
   * Promises 2 and 3 when an ack runs at the same time in another process: remove() first leaves its tombstones, then looks for the
   * messages; save() first stores the messages, then looks for tombstones. Whoever looks last sees what the other did. Ids are
   * written in order, so that two batches with the same ids rarely meet in a deadlock.
   */
  async saveMessages(messages: readonly Message[], now = Date.now()): Promise<Refusal[]> {
    const gone = await this.buried(
      messages.map(({ id }) => id),
      now,
    );
    const ordered = messages.filter(({ id }) => !gone.has(id)).sort((a, b) => (a.id < b.id ? -1 : 1));
    const refusals = await insertInStatements(this.db, ordered, (batch) => this.insert(batch));
    await this.removeBuried(
      ordered.map(({ id }) => id),
      now,
    );
    return refusals;
  }

  async removeBuried(ids: readonly string[], now: number): Promise<void> {
    const buried = await this.buried(ids, now);
    if (buried.size > 0) await this.db.rows('DELETE FROM mqtt_msg WHERE msgid IN (?)', [[...buried]]);
  }

  async known(ids: readonly string[], now: number): Promise<ReadonlySet<string>> {
    const stored = ids.length === 0 ? [] : await this.db.rows<{ msgid: string }>('SELECT msgid FROM mqtt_msg WHERE msgid IN (?)', [ids]);
    return new Set([...(await this.buried(ids, now)), ...stored.map(({ msgid }) => msgid)]);
  }

  async complete(messages: readonly Message[]): Promise<void> {
    if (messages.length === 0) return;
    await this.db.rows(
      `UPDATE mqtt_msg JOIN (${messages.map(() => 'SELECT ? AS id, ? AS name, ? AS more, ? AS published, ? AS expires').join(' UNION ALL ')}) AS m ON mqtt_msg.msgid = m.id
       SET username = m.name, properties = m.more, published_at = m.published, expires_at = m.expires WHERE published_at IS NULL`,
      messages.flatMap(({ id, username, properties, publishReceivedAt, expiresAt }) => [
        id,
        username,
        JSON.stringify(properties),
        publishReceivedAt,
        expiresAt,
      ]),
    );
  }

  payloadOf({ payload }: Message): Value {
    return payload;
  }

  private async insert(batch: readonly Message[]): Promise<void> {
    await this.db.rows(
      `INSERT INTO mqtt_msg (${FILLED}, retain) VALUES ${batch.map(() => `(${PLACES}, ?)`).join(', ')} ON DUPLICATE KEY UPDATE msgid = mqtt_msg.msgid`,
      batch.flatMap((message) => [...toBindings(message), message.retain ? 1 : 0]),
    );
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

  async removeMessages(refs: readonly MessageRef[], tombstoneUntil: number): Promise<number> {
    const ids = [...new Set(refs.map(({ id }) => id))].sort();
    await this.bury(ids, tombstoneUntil);
    return this.db.delete('DELETE FROM mqtt_msg WHERE msgid IN (?)', [ids]);
  }

  async bury(ids: readonly string[], tombstoneUntil: number): Promise<void> {
    await this.db.rows(
      `INSERT INTO mqtt_tombstone (msgid, expires_at) VALUES ${ids.map(() => '(?, ?)').join(', ')}
       ON DUPLICATE KEY UPDATE expires_at = GREATEST(expires_at, VALUES(expires_at))`,
      ids.flatMap((id) => [id, tombstoneUntil]),
    );
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

  /** Reads the `keep` newest to find the first that is too many. */
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
