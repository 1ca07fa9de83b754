import type { Message, MessageRef } from '../../mqtt/message';
import { RefusedError } from '../../base/errors';
import { saveOrBisect } from '../shared/bisect';
import { OldestTopic } from '../shared/oldest-topic';
import { leastKnown } from '../shared/known-times';
import type { MessageQuery, MessageStore, Purged, Refusal, StoredRef, TopicCount, TopicQuery } from '../store';
import { readAll, writeAll } from './batches';
import type { Client } from './client';
import { BUCKETS, keyText } from './keys';
import { MessageIndex, type Entry } from './message-index';
import { incomplete, partsOf, partWrites, readParts } from './parts';
import { pooled } from './pool';
import { Removals } from './removals';
import { partsIn, publishedAt, toMessage, toRow, type Row } from './rows';
import { Tombstones } from './tombstones';
import { TopicList } from './topic-list';
import { text, textOf, type Item } from './values';

const TABLE = 'mqtt_msg';
const PAYLOAD_CONCURRENCY = 4;
/** Topics whose first message one call of oldestMessageAt() reads where no message expires. */
const TOPICS_PER_LOOK = 16;
/** An entry without a message may belong to a message that is just being saved. No save takes this long (ms). */
const ORPHAN_AGE_MS = 3_600_000;

const keyOf = (id: string): Item => ({ msgid: text(id) });

/** mqtt_msg with mqtt_msg_part, mqtt_topic_msg, mqtt_topic and mqtt_tombstone. */
export class Messages implements MessageStore {
  private readonly index: MessageIndex;
  private readonly topicList: TopicList;
  private readonly tombstones: Tombstones;
  private readonly removals: Removals;
  private readonly oldest: OldestTopic;

  constructor(private readonly client: Client) {
    this.index = new MessageIndex(client);
    this.topicList = new TopicList(client, 'mqtt_topic');
    this.tombstones = new Tombstones(client);
    this.removals = new Removals(client, this.index);
    this.oldest = new OldestTopic(this, (topics, now) => pooled(topics, (topic) => this.firstOf(topic, now)), TOPICS_PER_LOOK);
  }

  /**
   * Keeps promises 2 and 3 when another process handles an acknowledgement at the same time. remove() first writes its
   * tombstones and then looks for the messages; save() first writes the messages and then looks for tombstones.
   * Whichever looks last sees what the other has written.
   */
  async saveMessages(messages: readonly Message[], now = Date.now()): Promise<Refusal[]> {
    const { rows, refusals } = rowsOf(messages);
    const refused = await saveOrBisect([...rows.keys()], (batch) =>
      this.saveRows(new Map(batch.map((each) => [each, rows.get(each)!])), now),
    );
    return [...refusals, ...refused];
  }

  /**
   * Everything that belongs to a message is written before it. So a message that exists is complete, and an interrupted
   * save is completed by the next one of the same message.
   */
  private async saveRows(rows: ReadonlyMap<Message, Row>, now: number): Promise<void> {
    const messages = [...rows.keys()];
    const ids = messages.map(({ id }) => id);
    const [buried, stored] = await Promise.all([this.tombstones.living(ids, now), this.topicsOf(ids)]);
    const alive = messages.filter(({ id }) => !buried.has(id));
    if (alive.length === 0) return;
    const fresh = alive.filter(({ id }) => !stored.has(id));
    const parts = fresh.flatMap((message) => partWrites(message.id, rows.get(message)?.outside ?? null));
    await writeAll(this.client, [...parts, ...fresh.map((message) => this.index.addition(message))]);
    await writeAll(
      this.client,
      fresh.map((message) => ({ table: TABLE, put: rows.get(message)?.item ?? {} })),
    );
    await this.topicList.add(alive.map(({ id, topic }) => stored.get(id) || topic));
    const meanwhile = await this.tombstones.living(
      alive.map(({ id }) => id),
      now,
    );
    const gone = alive.filter(({ id }) => meanwhile.has(id));
    await this.take(
      gone.map(entryOf),
      gone.map(({ topic }) => topic),
    );
  }

  private async topicsOf(ids: readonly string[]): Promise<Map<string, string>> {
    const items = await readAll(this.client, TABLE, ids.map(keyOf), ['msgid', 'topic']);
    return new Map(items.map((item) => [textOf(item['msgid']) ?? '', textOf(item['topic']) ?? '']));
  }

  async removeMessages(refs: readonly MessageRef[], tombstoneUntil: number): Promise<number> {
    await this.tombstones.leave([...new Set(refs.map(({ id }) => id))], tombstoneUntil);
    const entries = new Map(refs.map((ref) => [JSON.stringify([ref.topic, ref.id]), entryOf(ref)]));
    return this.take(
      [...entries.values()],
      refs.map(({ topic }) => topic),
    );
  }

  /** `topics` are checked even if nothing was found, in order to finish an interrupted removal. */
  private async take(entries: readonly Entry[], topics: readonly string[], isStale?: (entry: Entry) => boolean): Promise<number> {
    const found = await this.removals.take(entries, isStale);
    await this.topicList.leave([...topics, ...found], (topic) => this.index.isEmpty(topic));
    return found.length;
  }

  async getMessage(id: string): Promise<Message | null> {
    const item = id === '' ? null : await this.client.get(TABLE, keyOf(id));
    return item === null ? null : this.whole(item);
  }

  listMessages(query: MessageQuery): Promise<Message[]> {
    return this.list(query, (ids) => this.read(ids));
  }

  listRefs(query: MessageQuery): Promise<StoredRef[]> {
    return this.list(query, (ids) => this.readRefs(ids));
  }

  private async list<T>({ topic, after, limit, now }: MessageQuery, read: (ids: readonly string[]) => Promise<T[]>): Promise<T[]> {
    const found: T[] = [];
    for (let from: string | null = after; from !== null && found.length < limit;) {
      const { ids, next }: { ids: string[]; next: string | null } = await this.index.living(topic, from, limit - found.length, now);
      found.push(...(await read(ids)));
      from = next;
    }
    return found;
  }

  /** In the order of the ids, without messages that were removed meanwhile. */
  private async read(ids: readonly string[]): Promise<Message[]> {
    const found = await pooled(await this.items(ids), (item) => this.whole(item), PAYLOAD_CONCURRENCY);
    return found.filter((message) => message !== null);
  }

  private async readRefs(ids: readonly string[]): Promise<StoredRef[]> {
    return (await this.items(ids, ['msgid', 'published_at', 'arrived'])).map((item) => ({
      id: textOf(item['msgid']) ?? '',
      publishReceivedAt: publishedAt(item),
    }));
  }

  private async items(ids: readonly string[], attributes?: readonly string[]): Promise<Item[]> {
    const items = await readAll(this.client, TABLE, ids.map(keyOf), attributes);
    const byId = new Map(items.map((item) => [textOf(item['msgid']), item]));
    return ids.map((id) => byId.get(id)).filter((item) => item !== undefined);
  }

  private async whole(item: Item): Promise<Message | null> {
    const [id, count] = [textOf(item['msgid']) ?? '', partsIn(item)];
    if (count === 0) return toMessage(item, null);
    const payload = await readParts(this.client, id, count);
    if (payload !== null) return toMessage(item, payload);
    if ((await this.client.get(TABLE, keyOf(id), ['msgid'])) === null) return null;
    throw incomplete(id);
  }

  listTopics(query: TopicQuery): Promise<string[]> {
    return this.topicList.list(query);
  }

  async trimTopic(topic: string, keep: number): Promise<number> {
    const kept = await this.index.oldestKept(topic, keep);
    if (kept === null && keep > 0) return 0;
    let removed = 0;
    for await (const entries of this.index.before(topic, kept)) if (entries.length > 0) removed += await this.take(entries, [topic]);
    return removed;
  }

  /**
   * The buckets are purged in random order, so that servers that purge at the same time rarely work on the same bucket.
   */
  async purgeExpired(now: number, limit: number): Promise<Purged> {
    const first = Math.floor(Math.random() * BUCKETS);
    let removed = 0;
    for (let i = 0; i < BUCKETS && removed < limit; i++) removed += await this.purgeBucket((first + i) % BUCKETS, now, limit - removed);
    return { removed, more: removed >= limit };
  }

  private async purgeBucket(bucket: number, now: number, limit: number): Promise<number> {
    let removed = 0;
    for (let start: Item | null = null; removed < limit;) {
      const { entries, next }: { entries: Entry[]; next: Item | null } = await this.index.expired(bucket, now, limit - removed, start);
      removed += await this.take(entries, [], ({ expiresAt }) => (expiresAt ?? now) < now - ORPHAN_AGE_MS);
      if (next === null) break;
      start = next;
    }
    return removed;
  }

  countMessages(): Promise<number> {
    return this.index.count();
  }

  /** DynamoDB counts by reading: at most MOST_COUNTED small entries of a topic, in one or two requests, and two more for its first message. */
  async topicCounts(topics: readonly string[], now: number): Promise<ReadonlyMap<string, TopicCount>> {
    const counts = await pooled([...new Set(topics)], async (topic): Promise<[string, TopicCount]> => {
      const messages = await this.index.countOf(topic);
      return [topic, { messages, oldestAt: messages === 0 ? null : await this.firstOf(topic, now) }];
    });
    return new Map(counts);
  }

  private async firstOf(topic: string, now: number): Promise<number | null> {
    const [first] = await this.listRefs({ topic, after: '', limit: 1, now });
    return first?.publishReceivedAt ?? null;
  }

  /**
   * The oldest of the messages that expire first in each bucket of the index on expires_at, which may be a moment behind. An older message
   * that expires later, because its policy or its publisher gave it more time, is not found. Where no message expires: see OldestTopic.
   */
  async oldestMessageAt(now: number): Promise<number | null> {
    const buckets = Array.from({ length: BUCKETS }, (_, bucket) => bucket);
    const ids = await pooled(buckets, (bucket) => this.index.expiringNext(bucket, now));
    const found = await this.readRefs([...new Set(ids.flat())]);
    return found.length === 0 ? this.oldest.find(now) : leastKnown(found.map(({ publishReceivedAt }) => publishReceivedAt));
  }
}

const entryOf = ({ topic, id }: MessageRef): Entry => ({ topicKey: keyText(topic), id });

/** Keeps the first message of each id. */
function rowsOf(messages: readonly Message[]): { rows: Map<Message, Row>; refusals: Refusal[] } {
  const rows = new Map<Message, Row>();
  const refusals: Refusal[] = [];
  const seen = new Set<string>();
  for (const message of messages) {
    if (seen.has(message.id)) continue;
    seen.add(message.id);
    try {
      rows.set(message, toRow(message, partsOf));
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      refusals.push({ id: message.id, reason: error.message });
    }
  }
  return { rows, refusals };
}
