import type { types } from 'cassandra-driver';
import { RetryableError } from '../../base/errors';
import type { Message, MessageRef } from '../../mqtt/message';
import { OldestTopic } from '../shared/oldest-topic';
import type { MessageQuery, MessageStore, Purged, Refusal, StoredRef, TopicCount, TopicQuery } from '../store';
import { countRows, countTopics } from './count';
import type { Database } from './database';
import { ExpiryIndex, ttlOf, type Due } from './expiry';
import { GUARD_MS, Heads } from './head';
import {
  COLUMNS,
  contentOf,
  fitsKey,
  LISTED,
  publishedAt,
  toMessage,
  toNumber,
  type ListedRow,
  type MessageRow,
  type Stored,
} from './rows';
import { Tombstones } from './tombstones';
import { TopicIndex } from './topic-index';
import { trimTopic } from './trim';

/** Rows that a read brings into memory at once; the server's, too: they may have 1 MB each. */
const PAGE = 100;
/** Topics whose first message one call of oldestMessageAt() reads. */
const TOPICS_PER_LOOK = 200;
/**
 * A message must be seen well before Heads takes its timestamp for old, with room for clocks that differ. A save that a stalled server
 * held up for longer is done again, with a new timestamp.
 */
const SEEN_WITHIN_MS = GUARD_MS / 2;

/** mqtt_msg, with what finds its rows by id, by topic and by expiry. */
export class MessageTable implements MessageStore {
  private readonly tombstones: Tombstones;
  private readonly expiry: ExpiryIndex;
  private readonly heads: Heads;
  private readonly topicIndex: TopicIndex<string>;
  private readonly oldest: OldestTopic;

  constructor(private readonly db: Database) {
    this.tombstones = new Tombstones(db);
    this.expiry = new ExpiryIndex(db);
    this.heads = new Heads(db);
    this.topicIndex = new TopicIndex(db, 'mqtt_topic', (topics) => this.withMessages(topics));
    this.oldest = new OldestTopic(this, (topics, now) => this.db.wave(topics, (topic) => this.firstOf(topic, now)), TOPICS_PER_LOOK);
  }

  /**
   * Promises 2 and 3 when an ack runs at the same time in another process: remove() first leaves its tombstones, then looks for the
   * messages; save() first stores the messages, then looks for tombstones. Whoever looks last sees what the other did. mqtt_msg_id is
   * written last: an attempt that breaks off is done again from the start.
   */
  async saveMessages(messages: readonly Message[], now = Date.now()): Promise<Refusal[]> {
    const batch = [...new Map([...messages].reverse().map((message) => [message.id, message])).values()].reverse();
    const known = await this.db.wave(batch, (message) => this.state(message, now));
    const timestamp = this.db.timestamp();
    const fresh = batch.filter((_, i) => known[i] === 'new');
    const outcomes = await this.db.writeWave(fresh, (message) => this.insert(message, now, timestamp));
    if (Date.now() - timestamp / 1_000 > SEEN_WITHIN_MS) throw new RetryableError('Cassandra took too long to store messages');
    const stored = fresh.filter((_, i) => outcomes[i] === null);
    await this.db.wave([...new Set(stored.map(({ topic }) => topic))], (topic) => this.topicIndex.note(topic, timestamp));
    await this.expiry.note(stored, now, timestamp);
    await this.db.wave(stored, ({ id, topic, expiresAt }) =>
      this.db.write('INSERT INTO mqtt_msg_id (msgid, topic) VALUES (?, ?) USING TTL ?', [id, topic, ttlOf(expiresAt, now)], timestamp),
    );
    const removed = await this.db.wave(stored, ({ id }) => this.tombstones.has(id, now));
    // What is removed already may have been stored in part by an attempt that broke off.
    await this.erase(
      [...stored.filter((_, i) => removed[i]), ...batch.filter((_, i) => known[i] === 'removed')].map((message) => ({
        ...message,
        at: timestamp,
      })),
    );
    return fresh.flatMap(({ id }, i) => (outcomes[i] ? [{ id, reason: outcomes[i].message }] : []));
  }

  private async state({ id }: Message, now: number): Promise<'new' | 'stored' | 'removed'> {
    const [removed, rows] = await Promise.all([
      this.tombstones.has(id, now),
      this.db.rows('SELECT msgid FROM mqtt_msg_id WHERE msgid = ?', [id]),
    ]);
    if (removed) return 'removed';
    return rows.length > 0 ? 'stored' : 'new';
  }

  /** Absent values are left out: a null would be stored as a mark of a removal. */
  private insert(message: Message, now: number, timestamp: number): Promise<void> {
    return this.db.write(
      `INSERT INTO mqtt_msg (topic, msgid, retain, sender, username, qos, payload, payload_bin, properties, arrived, published_at, expires_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TTL ?`,
      [message.topic, message.id, message.retain ? 1 : 0, ...contentOf(message, undefined), ttlOf(message.expiresAt, now)],
      timestamp,
    );
  }

  /**
   * Two that remove the same message at once must not both count it, and only a lightweight transaction can tell who was first. It is on
   * mqtt_msg_id, whose rows are small.
   */
  async removeMessages(refs: readonly MessageRef[], tombstoneUntil: number, now = Date.now()): Promise<number> {
    const unique = [...new Map(refs.map(({ topic, id }) => [JSON.stringify([topic, id]), { topic, id }])).values()];
    await this.tombstones.put([...new Set(unique.map(({ id }) => id))], tombstoneUntil, now);
    const stored = await this.stored(unique.filter(({ topic }) => fitsKey(topic)));
    const first = await this.db.wave(stored, async ({ id }) => {
      return (await this.db.conditionally('DELETE FROM mqtt_msg_id WHERE msgid = ? IF EXISTS', [id])) === null;
    });
    await this.erase(stored);
    await this.heads.note(stored.map(({ topic }) => topic));
    return first.filter(Boolean).length;
  }

  private async stored(refs: readonly MessageRef[]): Promise<Stored[]> {
    const found = await this.db.wave(refs, async ({ topic, id }) => {
      const [row] = await this.db.rows<{ at: types.Long | null }>(
        'SELECT msgid, writetime(published_at) AS at FROM mqtt_msg WHERE topic = ? AND msgid = ?',
        [topic, id],
      );
      return row === undefined ? [] : [{ topic, id, at: toNumber(row.at) }];
    });
    return found.flat();
  }

  /**
   * With the time of the write that is undone, not the present: it works though the clock of who wrote was ahead, and it spares what is
   * saved again later.
   */
  private async erase(stored: readonly Stored[]): Promise<void> {
    await this.db.wave(stored, async ({ topic, id, at }) => {
      const timestamp = at ?? this.db.timestamp();
      await Promise.all([
        this.db.write('DELETE FROM mqtt_msg WHERE topic = ? AND msgid = ?', [topic, id], timestamp),
        this.db.write('DELETE FROM mqtt_msg_id WHERE msgid = ?', [id], timestamp),
      ]);
    });
  }

  async getMessage(id: string): Promise<Message | null> {
    const [known] = await this.db.rows<{ topic: string }>('SELECT topic FROM mqtt_msg_id WHERE msgid = ?', [id]);
    if (known === undefined) return null;
    const [row] = await this.db.rows<MessageRow>(`SELECT ${COLUMNS}, retain FROM mqtt_msg WHERE topic = ? AND msgid = ?`, [
      known.topic,
      id,
    ]);
    return row === undefined ? null : toMessage(row, row.retain === 1);
  }

  async listMessages(query: MessageQuery): Promise<Message[]> {
    return (await this.list<MessageRow>(`${COLUMNS}, retain`, query)).map((row) => toMessage(row, row.retain === 1));
  }

  async listRefs(query: MessageQuery): Promise<StoredRef[]> {
    return (await this.list<ListedRow>(LISTED, query)).map((row) => ({ id: row.msgid ?? '', publishReceivedAt: publishedAt(row) }));
  }

  private async list<R extends ListedRow>(columns: string, { topic, after, limit, now }: MessageQuery): Promise<R[]> {
    const found: R[] = [];
    if (!fitsKey(topic)) return found;
    for (let from = after, asked = Math.min(PAGE, limit); asked > 0; asked = Math.min(PAGE, limit - found.length)) {
      const rows = await this.db.rows<R>(`SELECT ${columns} FROM mqtt_msg WHERE topic = ? AND msgid > ? ORDER BY msgid ASC LIMIT ?`, [
        topic,
        from,
        asked,
      ]);
      found.push(...rows.filter(({ expires_at: at }) => (toNumber(at) ?? Infinity) > now));
      if (rows.length < asked) break;
      from = rows.at(-1)?.msgid ?? from;
    }
    return found;
  }

  listTopics(query: TopicQuery): Promise<string[]> {
    return this.topicIndex.list(query);
  }

  private withMessages(topics: readonly string[]): Promise<(string | null)[]> {
    return this.db.wave(topics, async (topic) => {
      if (!fitsKey(topic)) return null;
      const rows = await this.db.rows('SELECT msgid FROM mqtt_msg WHERE topic = ? LIMIT 1', [topic]);
      return rows.length > 0 ? topic : null;
    });
  }

  trimTopic(topic: string, keep: number): Promise<number> {
    return trimTopic(this.db, topic, keep);
  }

  /** Tombstones go by themselves. Topics that have no message any more are forgotten, a few at a time. */
  async purgeExpired(now: number, limit: number): Promise<Purged> {
    await this.topicIndex.sweep(limit);
    const removed = await this.expiry.purge(now, limit, (due) => this.expire(due));
    return { removed, more: removed >= limit };
  }

  /** What was removed, and perhaps saved again with another expiry, has an entry that is not true any more. */
  private async expire(due: readonly Due[]): Promise<number> {
    const found = await this.db.wave(due, async ({ topic, id, expiresAt }) => {
      const [row] = await this.db.rows<{ at: types.Long | null; expires_at: types.Long | null }>(
        'SELECT expires_at, writetime(published_at) AS at FROM mqtt_msg WHERE topic = ? AND msgid = ?',
        [topic, id],
      );
      return row !== undefined && toNumber(row.expires_at) === expiresAt ? [{ topic, id, at: toNumber(row.at) }] : [];
    });
    await this.erase(found.flat());
    await this.heads.note(found.flat().map(({ topic }) => topic));
    return found.flat().length;
  }

  countMessages(): Promise<number> {
    return countRows(this.db);
  }

  async topicCounts(topics: readonly string[], now: number): Promise<ReadonlyMap<string, TopicCount>> {
    const messages = await countTopics(this.db, topics);
    const oldest = await this.db.wave(topics, (topic) => this.firstOf(topic, now));
    return new Map(topics.map((topic, i) => [topic, { messages: messages[i] ?? 0, oldestAt: oldest[i] ?? null }]));
  }

  private async firstOf(topic: string, now: number): Promise<number | null> {
    const [first] = await this.listRefs({ topic, after: '', limit: 1, now });
    return first?.publishReceivedAt ?? null;
  }

  /** Cassandra has no order over all topics: see OldestTopic. */
  oldestMessageAt(now: number): Promise<number | null> {
    return this.oldest.find(now);
  }
}
