import type { Message, MessageRef } from '../../mqtt/message';
import { OLDEST_COMPARED, type MessageQuery, type MessageStore, type Purged, type Refusal, type StoredRef } from '../store';
import type { TopicCount, TopicQuery } from '../store';
import { leastKnown } from '../shared/known-times';
import { compareText } from '../shared/order';
import type { Command, Database } from './database';
import { inRequests, MESSAGES_AT_ONCE, slices } from './groups';
import { idScore } from './id-score';
import type { Keys } from './keys';
import { ManyNodes } from './many-nodes';
import type { MessageIndex } from './message-index';
import { IDS_AFTER } from './message-scripts';
import type { MessageWriter } from './message-writer';
import { OneNode } from './one-node';
import { fromPairs, toMessage } from './rows';

/** How many messages are read into memory at once. A message may have 1 MB. */
const MESSAGES_PER_READ = 100;
const REFS_PER_READ = 1_000;

type Expiring = Pick<Message, 'expiresAt'>;

/** Messages, with their order, topics, expiry and tombstones. */
export class Messages implements MessageStore {
  private readonly writer: MessageWriter;

  constructor(
    private readonly db: Database,
    private readonly keys: Keys,
    private readonly index: MessageIndex,
  ) {
    this.writer = db.isCluster ? new ManyNodes(db, keys, index) : new OneNode(db, keys);
  }

  /** Redis accepts any bytes, so nothing is rejected. */
  async saveMessages(messages: readonly Message[]): Promise<Refusal[]> {
    for (const request of inRequests(messages)) await this.writer.save(request, Date.now());
    return [];
  }

  removeMessages(refs: readonly MessageRef[], tombstoneUntil: number): Promise<number> {
    const now = Date.now();
    return this.remove(refs, now, tombstoneUntil > now ? tombstoneUntil : null);
  }

  private async remove(refs: readonly MessageRef[], now: number, tombstoneUntil: number | null): Promise<number> {
    let removed = 0;
    for (const some of slices(refs)) removed += await this.writer.remove(some, now, tombstoneUntil);
    return removed;
  }

  async getMessage(id: string): Promise<Message | null> {
    const [message] = await this.read([id]);
    return message ?? null;
  }

  private async read(ids: readonly string[]): Promise<Message[]> {
    const hashes = await this.db.all<Buffer[]>(ids.map((id) => ['HGETALLBuffer', this.keys.message(id)]));
    return hashes.flatMap((fields, i) => toMessage(ids[i] ?? '', fromPairs(fields)) ?? []);
  }

  listMessages(query: MessageQuery): Promise<Message[]> {
    return this.list(query, MESSAGES_PER_READ, (ids) => this.read(ids));
  }

  async listRefs(query: MessageQuery): Promise<StoredRef[]> {
    const found = await this.list(query, REFS_PER_READ, (ids) => this.readRefs(ids));
    return found.map(({ id, publishReceivedAt }) => ({ id, publishReceivedAt }));
  }

  private async readRefs(ids: readonly string[]): Promise<(StoredRef & Expiring)[]> {
    const fields = await this.db.all<(string | null)[]>(ids.map((id) => ['HMGET', this.keys.message(id), 'topic', 'ts', 'expires_at']));
    return ids.flatMap((id, i) => {
      const [topic, ts, expires] = fields[i] ?? [];
      return topic == null ? [] : [{ id, publishReceivedAt: Number(ts ?? 0), expiresAt: expires == null ? null : Number(expires) }];
    });
  }

  /** An empty topic and an id without a message are what a process may leave that died while it saved or removed: they are removed. */
  private async list<T extends StoredRef & Expiring>(
    { topic, after, limit, now }: MessageQuery,
    atOnce: number,
    read: (ids: readonly string[]) => Promise<T[]>,
  ): Promise<T[]> {
    const found: T[] = [];
    for (let from = after; found.length < limit;) {
      const count = Math.min(limit - found.length, atOnce);
      const ids = await this.idsAfter(topic, from, count);
      const there = await read(ids);
      for (const each of there) if (each.expiresAt === null || each.expiresAt > now) found.push(each);
      if (there.length < ids.length) await this.index.removeAbsent(topic, without(ids, there));
      if (from === '' && ids.length === 0) await this.index.removeTopics([{ topic }]);
      const last = ids.at(-1);
      if (last === undefined || ids.length < count) break;
      from = last;
    }
    return found;
  }

  private idsAfter(topic: string, after: string, count: number): Promise<string[]> {
    const set = this.keys.topic(topic);
    if (after === '') return this.db.one('ZRANGE', set, 0, count - 1);
    return this.db.one('EVAL', IDS_AFTER, 1, set, after, idScore(after), count);
  }

  listTopics(query: TopicQuery): Promise<string[]> {
    return this.index.listTopics(query);
  }

  /**
   * The newest id that is too many tells what goes. A number of ids would not: between two steps others acknowledge or trim the oldest
   * messages, and newer ones would take their places.
   */
  async trimTopic(topic: string, keep: number): Promise<number> {
    const set = this.keys.topic(topic);
    const place = -Math.min(keep, Number.MAX_SAFE_INTEGER - 1) - 1;
    const [last] = await this.db.one<string[]>('ZRANGE', set, place, place);
    let removed = 0;
    while (last !== undefined) {
      const ids = await this.db.one<string[]>('ZRANGE', set, 0, MESSAGES_AT_ONCE - 1);
      const refs = ids.filter((id) => compareText(id, last) <= 0).map((id) => ({ topic, id }));
      if (refs.length === 0) break;
      removed += await this.remove(refs, Date.now(), null);
    }
    return removed;
  }

  /**
   * The scores of expired messages and of expired tombstones are a single range. Meanwhile another process may save a message again whose
   * entry was read: it stays, and gets its entry again.
   */
  async purgeExpired(now: number, limit: number): Promise<Purged> {
    const ids = await this.db.one<string[]>('ZRANGEBYSCORE', this.keys.lives, -now, now, 'LIMIT', 0, limit);
    let removed = 0;
    for (const some of slices(ids)) {
      const topics = await this.writer.dueTopicsOf(some, now);
      const due = some.flatMap((id, i) => (topics[i] == null ? [] : [{ id, topic: topics[i] }]));
      if (due.length > 0) removed += await this.writer.remove(due, now, null);
      const others = some.filter((_, i) => topics[i] == null);
      if (others.length > 0) await this.index.end(others, now);
    }
    return { removed, more: ids.length >= limit };
  }

  countMessages(): Promise<number> {
    return this.db.one<number>('ZCOUNT', this.keys.lives, 0, '+inf');
  }

  /** Two round trips for all topics, and some more for those whose first message has expired or is just being removed. */
  async topicCounts(topics: readonly string[], now: number): Promise<ReadonlyMap<string, TopicCount>> {
    const answers = await this.db.all<number | string[]>(
      topics.flatMap((topic): Command[] => [
        ['ZCARD', this.keys.topic(topic)],
        ['ZRANGE', this.keys.topic(topic), 0, 0],
      ]),
    );
    const firsts = topics.map((_, i) => (answers[2 * i + 1] as string[])[0]);
    const known = new Map((await this.readRefs(firsts.filter((id) => id !== undefined))).map((ref) => [ref.id, ref]));
    const counts = topics.map(async (topic, i): Promise<[string, TopicCount]> => {
      const first = firsts[i] === undefined ? null : (known.get(firsts[i]) ?? { expiresAt: 0, publishReceivedAt: 0 });
      const [oldest] =
        first === null || (first.expiresAt ?? Infinity) > now ? [first] : await this.listRefs({ topic, after: '', limit: 1, now });
      return [topic, { messages: answers[2 * i] as number, oldestAt: oldest?.publishReceivedAt ?? null }];
    });
    return new Map(await Promise.all(counts));
  }

  /**
   * The oldest of the OLDEST_COMPARED messages that expire first and of as many that never expire, with the smallest ids. An older message
   * that expires later than these, because its policy or its publisher gave it more time, is not found.
   */
  async oldestMessageAt(now: number): Promise<number | null> {
    const pages = await this.db.all<string[]>([
      ['ZRANGEBYSCORE', this.keys.lives, `(${now}`, '(+inf', 'LIMIT', 0, OLDEST_COMPARED],
      ['ZRANGEBYSCORE', this.keys.lives, '+inf', '+inf', 'LIMIT', 0, OLDEST_COMPARED],
    ]);
    const found = await this.readRefs(pages.flat());
    return leastKnown(found.map(({ publishReceivedAt }) => publishReceivedAt));
  }
}

function without(ids: readonly string[], found: readonly Pick<StoredRef, 'id'>[]): string[] {
  const there = new Set(found.map(({ id }) => id));
  return ids.filter((id) => !there.has(id));
}
