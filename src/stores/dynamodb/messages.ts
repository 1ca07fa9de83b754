import type { Message, MessageRef } from '../../mqtt/message';
import { timeOf } from '../../mqtt/message-id';
import { saveOrBisect } from '../shared/bisect';
import { OldestTopic } from '../shared/oldest-topic';
import { leastKnown } from '../shared/known-times';
import type { MessageQuery, MessageStore, Purged, Refusal, StoredRef, TopicCount, TopicQuery } from '../store';
import { readAll, writeAll, type Write } from './batches';
import type { Client } from './client';
import { BUCKETS, keyText } from './keys';
import { MessageIndex, type Entry } from './message-index';
import { MessageTopics } from './message-topics';
import { incomplete, partRemovals, partsOf, partWrites, readParts } from './parts';
import { pooled } from './pool';
import { Removals, type Stored } from './removals';
import { partsIn, publishedAt, rowsOf, toMessage, type Row } from './rows';
import { Tombstones } from './tombstones';
import { text, textOf, type Item } from './values';

const TABLE = 'mqtt_msg';
const PAYLOAD_CONCURRENCY = 4;
/** Topics whose first message one call of oldestMessageAt() reads where no message expires. */
const TOPICS_PER_LOOK = 16;
/** An entry without a message may belong to a message that is just being saved. No save takes this long (ms). */
const ORPHAN_AGE_MS = 3_600_000;
/** A message that has expired longer ago than this (ms) is not saved. */
const LATE_MS = ORPHAN_AGE_MS / 2;

const keyOf = (id: string): Item => ({ msgid: text(id) });

/** mqtt_msg with mqtt_msg_part, mqtt_topic_msg, mqtt_topic and mqtt_tombstone. */
export class Messages implements MessageStore {
  private readonly index: MessageIndex;
  private readonly topics: MessageTopics;
  private readonly tombstones: Tombstones;
  private readonly removals: Removals;
  private readonly oldest: OldestTopic;

  constructor(private readonly client: Client) {
    this.index = new MessageIndex(client);
    this.topics = new MessageTopics(client, this.index);
    this.tombstones = new Tombstones(client);
    this.removals = new Removals(client, this.index);
    this.oldest = new OldestTopic(this, (topics, now) => pooled(topics, (topic) => this.firstOf(topic, now)), TOPICS_PER_LOOK);
  }

  /**
   * Keeps promises 2 and 3 when another process handles an acknowledgement at the same time. remove() first writes its
   * tombstones and then deletes the messages; save() first writes the messages and then looks for tombstones.
   * Whichever comes last sees what the other has written. The look for tombstones before the messages are written keeps
   * an acknowledged message from being visible for a moment when its publish event comes once more.
   */
  async saveMessages(messages: readonly Message[], now = Date.now()): Promise<Refusal[]> {
    // A message that expired long ago would be seen by nobody, and a purge would take its entry for one without a message.
    const { rows, refusals } = rowsOf(
      messages.filter(({ expiresAt }) => (expiresAt ?? now) > now - LATE_MS),
      partsOf,
    );
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
    const [buried, stored] = await Promise.all([this.tombstones.living(ids, now), this.removals.stored(ids)]);
    const alive = messages.filter(({ id }) => !buried.has(id));
    await this.clear(new Map([...rows].filter(([{ id }]) => buried.has(id))));
    if (alive.length === 0) return;
    const fresh = alive.filter(({ id }) => !stored.has(id));
    const parts = fresh.flatMap((message) => partWrites(message.id, rows.get(message)?.outside ?? null));
    await writeAll(this.client, [...parts, ...fresh.map((message) => this.index.addition(message))]);
    const puts = fresh.map((message): Write => ({ table: TABLE, put: rows.get(message)?.item ?? {} }));
    const refs = alive.map(({ id, topic }) => ({ id, topic: stored.get(id)?.topic || topic }));
    await pooled([() => writeAll(this.client, puts), () => this.topics.add(refs)], (work) => work());
    const meanwhile = await this.tombstones.living(
      alive.map(({ id }) => id),
      now,
    );
    const gone = alive.filter(({ id }) => meanwhile.has(id));
    if (gone.length > 0) await this.remove(gone);
  }

  /** An earlier save of a removed message may have failed before its second look for tombstones. What it has written goes. */
  private async clear(removed: ReadonlyMap<Message, Row>): Promise<void> {
    if (removed.size === 0) return;
    await this.remove([...removed.keys()]);
    await writeAll(
      this.client,
      [...removed].flatMap(([{ id }, { outside }]) => (outside === null ? [] : partRemovals(id, partsOf(outside)))),
    );
  }

  /**
   * A message that is not stored yet is looked up again after its tombstone is written (Removals.take), because save()
   * may have written it meanwhile.
   */
  async removeMessages(refs: readonly MessageRef[], tombstoneUntil: number): Promise<number> {
    const ids = [...new Set(refs.map(({ id }) => id))];
    const stored = await this.removals.stored(ids);
    await this.tombstones.leave(ids, tombstoneUntil, stored);
    return this.remove(refs, stored);
  }

  /** The topics are checked even if no message was found, in order to finish an interrupted removal. */
  private async remove(refs: readonly MessageRef[], known?: ReadonlyMap<string, Stored>): Promise<number> {
    const found = await this.removals.take(refs.map(entryOf), known);
    return this.leaveTopics(
      found,
      refs.map(({ topic }) => topic),
    );
  }

  /** @returns how many messages were removed. */
  private async leaveTopics(removed: ReadonlyMap<string, Stored>, topics: readonly string[] = []): Promise<number> {
    const all = [...topics, ...[...removed.values()].map(({ topic }) => topic)];
    await this.topics.leave([...new Set(all)], new Set(removed.keys()));
    return removed.size;
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
    return this.topics.list(query);
  }

  /** The entry of a missing message goes if its id is old. A newer message may just be saved. */
  async trimTopic(topic: string, keep: number): Promise<number> {
    const kept = await this.index.oldestKept(topic, keep);
    if (kept === null && keep > 0) return 0;
    const isOld = ({ id }: Entry) => (timeOf(id) ?? Infinity) < Date.now() - ORPHAN_AGE_MS;
    let removed = 0;
    for await (const entries of this.index.before(topic, kept))
      if (entries.length > 0) removed += await this.leaveTopics(await this.removals.take(entries, undefined, isOld), [topic]);
    return removed;
  }

  /**
   * Reads a part of all buckets at once, and goes on until half of `limit` is removed. Entries that stay, because their
   * message may just be saved, are passed over.
   */
  async purgeExpired(now: number, limit: number): Promise<Purged> {
    const isStale = ({ expiresAt }: Entry) => (expiresAt ?? now) < now - ORPHAN_AGE_MS;
    let removed = 0;
    let places: { bucket: number; start: Item | null }[] = Array.from({ length: BUCKETS }, (_, bucket) => ({ bucket, start: null }));
    while (places.length > 0 && removed < limit / 2) {
      const [asked, later] = [places.slice(0, limit - removed), places.slice(limit - removed)];
      const size = Math.floor((limit - removed) / asked.length);
      const pages = await pooled(asked, ({ bucket, start }) => this.index.expired(bucket, now, size, start));
      const taken = await this.removals.take(
        pages.flatMap(({ entries }) => entries),
        undefined,
        isStale,
      );
      removed += await this.leaveTopics(taken);
      places = [
        ...later,
        ...asked.map(({ bucket }, i) => ({ bucket, start: pages[i]?.next ?? null })).filter(({ start }) => start !== null),
      ];
    }
    return { removed, more: places.length > 0 };
  }

  countMessages(): Promise<number> {
    return this.index.count();
  }

  /** Counting reads up to MOST_COUNTED small entries of a topic: 2 requests, and 2 more for its first message. */
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
