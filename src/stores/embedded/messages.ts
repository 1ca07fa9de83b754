import type { Message, MessageRef } from '../../mqtt/message';
import { numberKey } from '../../embedded/keys';
import { prefixedKeys } from '../../embedded/table';
import type { MessageQuery, MessageStore, Purged, Refusal, StoredRef, TopicCount, TopicQuery } from '../store';
import { Changes, type Row } from './changes';
import { CHANGED_AT_ONCE, timeOf, type Database } from './database';
import { bytesOf, idOf, idOfBytes, messageKey, toId, type Id } from './ids';
import { Indexing, type IndexingSizes } from './indexing';
import { PREFIX_BYTES, topicOf } from './log';
import type { MessageTables } from './message-tables';
import { idsBehind, type Listed } from './listing';
import { hasBodyInside, toBytes, toMessage } from './rows';

/** Payloads above this total are written in several transactions, because everything else waits while one runs. */
const BYTES_AT_ONCE = 4_194_304;

/** Messages in order, with their ids, topics, expiry and tombstones. */
export class Messages implements MessageStore {
  private readonly indexing: Indexing;

  constructor(
    private readonly db: Database,
    readonly tables: MessageTables,
    sizes: IndexingSizes,
  ) {
    this.indexing = new Indexing(db, tables, sizes);
  }

  async saveMessages(messages: readonly Message[]): Promise<Refusal[]> {
    const refused: Refusal[] = [];
    let [rows, size]: [Row[], number] = [[], 0];
    for (const message of messages) {
      const id = toId(message.id);
      if (id === null) {
        refused.push({ id: message.id, reason: 'the message id is empty or too long' });
        continue;
      }
      const content = toBytes(message, PREFIX_BYTES);
      const expires = message.expiresAt === null ? null : timeOf(message.expiresAt);
      rows.push({ bytes: id.bytes, text: id.text, topic: message.topic, expires, content });
      size += content.length;
      if (size < BYTES_AT_ONCE) continue;
      await this.saveRows(rows);
      [rows, size] = [[], 0];
    }
    await this.saveRows(rows);
    return refused;
  }

  private async saveRows(rows: readonly Row[]): Promise<void> {
    await this.change((changes) => changes.save(rows, Date.now()));
    await this.indexing.keepFew();
  }

  private change<T>(work: (changes: Changes) => T): Promise<T> {
    const transaction = this.db.write(() => {
      const changes = new Changes(this.tables);
      const result = work(changes);
      changes.write();
      return result;
    });
    return this.tables.recent.watch(transaction);
  }

  removeMessages(refs: readonly MessageRef[], tombstoneUntil: number): Promise<number> {
    const ids = refs.flatMap(({ id }) => toId(id) ?? []);
    const until = timeOf(tombstoneUntil);
    // A tombstone that has expired already would have no effect.
    return this.change((changes) => changes.remove(ids, until > Date.now() ? until : null));
  }

  getMessage(id: string): Promise<Message | null> {
    return this.db.read(() => {
      const bytes = toId(id)?.bytes;
      return bytes === undefined ? null : this.read(bytes);
    });
  }

  /** @param topic the name of the message's topic, if it is known. */
  private read(id: Buffer, topic?: string): Message | null {
    const { log, topics, bodies } = this.tables;
    const value = log.peek(id);
    if (value === null) return null;
    const number = topicOf(value);
    if (topic !== undefined && hasBodyInside(value, PREFIX_BYTES)) return toMessage(id.toString(), topic, value, PREFIX_BYTES, null);
    // Further reads follow.
    const row = Buffer.from(value.subarray(0, value.length));
    const body = hasBodyInside(row, PREFIX_BYTES) ? null : (bodies.get(messageKey(number, id)) as Buffer);
    return toMessage(id.toString(), topic ?? topics.nameOf(number), row, PREFIX_BYTES, body);
  }

  listMessages(query: MessageQuery): Promise<Message[]> {
    return this.db.read(() => this.living(query, ({ id }) => this.read(id, query.topic)));
  }

  listRefs(query: MessageQuery): Promise<StoredRef[]> {
    return this.db.read(() => this.refs(query));
  }

  private refs(query: MessageQuery): StoredRef[] {
    return this.living(query, ({ id, publishReceivedAt, isRecent }) =>
      isRecent && !this.tables.log.has(id) ? null : { id: id.toString(), publishReceivedAt },
    );
  }

  /** @param read returns null if the message is not stored. */
  private living<T>({ topic, after, limit, now }: MessageQuery, read: (listed: Listed) => T | null): T[] {
    const found: T[] = [];
    const number = this.tables.topics.find(topic);
    if (number === null || limit <= 0) return found;
    for (const listed of idsBehind(this.tables, number, after)) {
      const item = listed.expiresAt > now ? read(listed) : null;
      if (item !== null && found.push(item) >= limit) break;
    }
    return found;
  }

  listTopics(query: TopicQuery): Promise<string[]> {
    return this.db.read(() => this.tables.topics.list(query));
  }

  async trimTopic(topic: string, keep: number): Promise<number> {
    let removed = 0;
    for (let step = CHANGED_AT_ONCE; step === CHANGED_AT_ONCE; removed += step) step = await this.trim(topic, keep);
    return removed;
  }

  private trim(topic: string, keep: number): Promise<number> {
    return this.change((changes) => {
      const { topics, recent } = this.tables;
      const number = topics.find(topic);
      if (number === null) return 0;
      const surplus = topics.indexedOf(number) + recent.countNotIndexed(number) - keep;
      return surplus <= 0 ? 0 : changes.remove(this.oldest(number, Math.min(surplus, CHANGED_AT_ONCE)), null);
    });
  }

  /** The ids of the topic's oldest messages. Must be called in a transaction. */
  private oldest(topic: number, limit: number): Id[] {
    const ids = Array.from(prefixedKeys(this.tables.byTopic, numberKey(topic), limit), (key) => idOfBytes(idOf(key)));
    for (const { text, isIndexed } of this.tables.recent.of(topic, '')) {
      if (ids.length >= limit) break;
      if (!isIndexed) ids.push({ bytes: bytesOf(text), text });
    }
    return ids;
  }

  purgeExpired(now: number, limit: number): Promise<Purged> {
    const transactions = this.db.purge(limit, (step) => {
      const changes = new Changes(this.tables);
      const moreTombstones = this.tables.tombstones.purge(now, step);
      const removed = changes.remove(this.tables.expiry.due(now, step).map(idOfBytes), null);
      changes.write();
      return { removed, more: removed >= step || moreTombstones };
    });
    return this.tables.recent.watch(transactions);
  }

  countMessages(): Promise<number> {
    return this.db.read(() => this.tables.log.count);
  }

  /** Reads the counts that it keeps, and the first message of each topic. */
  topicCounts(topics: readonly string[], now: number): Promise<ReadonlyMap<string, TopicCount>> {
    return this.db.read(
      () =>
        new Map(
          topics.map((topic) => {
            const number = this.tables.topics.find(topic);
            const [oldest] = this.refs({ topic, after: '', limit: 1, now });
            const messages = number === null ? 0 : this.tables.topics.indexedOf(number) + this.tables.recent.countOf(number);
            return [topic, { messages, oldestAt: oldest?.publishReceivedAt ?? null }];
          }),
        ),
    );
  }

  oldestMessageAt(now: number): Promise<number | null> {
    return this.tables.oldest.find(now);
  }
}
