import type { Message, MessageRef } from '../../mqtt/message';
import { OldestTopic } from '../shared/oldest-topic';
import type { MessageQuery, MessageStore, Purged, Refusal, StoredRef, TopicCount, TopicQuery } from '../store';
import { countTopics, RowCount } from './count';
import type { Database } from './database';
import { ExpiryIndex } from './expiry';
import { Heads } from './head';
import { NotedTopics, STALE_MS } from './noted-topics';
import { MessageRemover } from './removing';
import { COLUMNS, fitsKey, LISTED, publishedAt, toMessage, toNumber, type ListedRow, type MessageRow } from './rows';
import { MessageSaver } from './saving';
import { Tombstones } from './tombstones';
import { TopicIndex } from './topic-index';
import { trimTopic } from './trim';

/** How many rows one read brings into memory, also the database's. A row may have 1 MB. */
const PAGE = 100;
/** Topics whose first message one call of oldestMessageAt() reads. */
const TOPICS_PER_LOOK = 200;

/** mqtt_msg, with the tables that find its rows by topic and by expiry. */
export class MessageTable implements MessageStore {
  private readonly saver: MessageSaver;
  private readonly remover: MessageRemover;
  private readonly expiry: ExpiryIndex;
  private readonly topicIndex: TopicIndex<string>;
  private readonly count: RowCount;
  private readonly oldest: OldestTopic;

  constructor(private readonly db: Database) {
    const tombstones = new Tombstones(db);
    this.expiry = new ExpiryIndex(db);
    this.topicIndex = new TopicIndex(db, 'mqtt_topic', (topics) => this.withMessages(topics), STALE_MS);
    this.saver = new MessageSaver(db, { tombstones, expiry: this.expiry, topics: new NotedTopics(this.topicIndex) });
    this.remover = new MessageRemover(db, { tombstones, heads: new Heads(db) });
    this.count = new RowCount(db);
    this.oldest = new OldestTopic(this, (topics, now) => this.db.wave(topics, (topic) => this.firstOf(topic, now)), TOPICS_PER_LOOK);
  }

  saveMessages(messages: readonly Message[], now = Date.now()): Promise<Refusal[]> {
    return this.saver.save(messages, now);
  }

  removeMessages(refs: readonly MessageRef[], tombstoneUntil: number, now = Date.now()): Promise<number> {
    return this.remover.remove(refs, tombstoneUntil, now);
  }

  /** Without the topic Cassandra asks the index mqtt_msg_by_id, of which each node has a part. */
  async getMessage(id: string, topic?: string): Promise<Message | null> {
    const columns = `${COLUMNS}, retain`;
    if (topic !== undefined && !fitsKey(topic)) return null;
    const [row] =
      topic === undefined
        ? await this.db.rows<MessageRow>(`SELECT ${columns} FROM mqtt_msg WHERE msgid = ? LIMIT 1`, [id])
        : await this.db.rows<MessageRow>(`SELECT ${columns} FROM mqtt_msg WHERE topic = ? AND msgid = ?`, [topic, id]);
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

  /** Cassandra itself removes expired tombstones. Topics without messages are removed here, a few at a time. */
  async purgeExpired(now: number, limit: number): Promise<Purged> {
    const purged = await this.expiry.purge(now, limit, (refs, at, most) => this.remover.expire(refs, at, most));
    if (!purged.more) await this.topicIndex.sweep(limit);
    return purged;
  }

  countMessages(): Promise<number> {
    return this.count.find();
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
