import type { Message, MessageRef } from '../../mqtt/message';
import { OLDEST_COMPARED, type MessageQuery, type MessageStore, type Purged, type Refusal, type StoredRef } from '../store';
import type { TopicCount, TopicQuery } from '../store';
import type { Command, Database } from './database';
import { expiryMember, parseExpiryMember, type Keys } from './keys';
import { toFields, toMessage } from './rows';
import { BURY, CREATE } from './scripts';
import { TopicIndex } from './topic-index';
import { leastKnown } from '../shared/known-times';

/** Redis itself deletes an expired message this long (ms) after its expiry, in case no purge does. */
const GRACE_MS = 60 * 60 * 1_000;
/** How many messages are read into memory at once. A message may have 1 MB. */
const MESSAGES_PER_READ = 100;
const REFS_PER_READ = 1_000;
const REMOVED_AT_ONCE = 1_000;

type Expiring = Pick<Message, 'expiresAt'>;

/** Messages, with their order, topics, expiry and tombstones. */
export class Messages implements MessageStore {
  private readonly topicIndex: TopicIndex;

  constructor(
    private readonly db: Database,
    private readonly keys: Keys,
  ) {
    this.topicIndex = new TopicIndex(db, keys.topics, (topic) => keys.ids(topic));
  }

  /**
   * The hash is written before the entries that find it, so that a reader never finds an id without a message. Promises
   * 2 and 3 also hold when another process handles an acknowledgement at the same time. remove() first writes its
   * tombstones and then looks for the messages; save() first writes the messages and then looks for tombstones.
   * Whichever looks last sees what the other has written.
   */
  async saveMessages(messages: readonly Message[]): Promise<Refusal[]> {
    const gone = await this.buried(messages);
    const kept = messages.filter(({ id }) => !gone.has(id));
    if (kept.length === 0) return [];
    await this.db.all(kept.map((message) => this.create(message)));
    await this.index(kept);
    const [, late] = await Promise.all([this.topicIndex.add(kept.map(({ topic }) => topic)), this.buried(kept)]);
    if (late.size > 0) await this.removeStored(kept.filter(({ id }) => late.has(id)));
    // Redis accepts any bytes, so nothing is rejected.
    return [];
  }

  private create(message: Message): Command {
    const forgotten = message.expiresAt === null ? 0 : Math.max(message.expiresAt, Date.now()) + GRACE_MS;
    return ['EVAL', CREATE, 1, this.keys.message(message.id), forgotten, ...toFields(message)];
  }

  /** Idempotent. */
  async index(messages: readonly Pick<Message, 'id' | 'topic' | 'publishReceivedAt' | 'expiresAt'>[]): Promise<void> {
    const byTopic = groupByTopic(messages);
    await this.db.all([
      ...[...byTopic].map(([topic, each]): Command => ['ZADD', this.keys.ids(topic), ...each.flatMap(({ id }) => [0, id])]),
      ...[...byTopic].map(([topic, each]): Command => [
        'ZADD',
        this.keys.topic(topic),
        ...each.flatMap(({ id, publishReceivedAt }) => [publishReceivedAt, id]),
      ]),
      ['ZADD', this.keys.expiry, ...messages.flatMap(({ id, topic, expiresAt }) => [expiresAt ?? '+inf', expiryMember(id, topic)])],
    ]);
  }

  /** Must be called after index() for messages of these topics. */
  async indexTopics(topics: readonly string[]): Promise<void> {
    await this.topicIndex.add(topics);
  }

  private async buried(refs: readonly MessageRef[]): Promise<Set<string>> {
    const found = await this.db.all<number>(refs.map(({ id }) => ['EXISTS', this.keys.tombstone(id)]));
    return new Set(refs.filter((_, i) => found[i] === 1).map(({ id }) => id));
  }

  async removeMessages(refs: readonly MessageRef[], tombstoneUntil: number): Promise<number> {
    const ttl = tombstoneUntil - Date.now();
    if (ttl > 0) await this.db.all(refs.map(({ id }) => ['EVAL', BURY, 1, this.keys.tombstone(id), tombstoneUntil, ttl]));
    return this.removeStored(refs);
  }

  /**
   * Removes the entries that find a message before the message, in the opposite order to save().
   * @returns how many were stored.
   */
  private async removeStored(refs: readonly MessageRef[]): Promise<number> {
    const byTopic = groupByTopic(refs);
    await this.db.all([
      ...[...byTopic].flatMap(([topic, each]) =>
        [this.keys.ids(topic), this.keys.topic(topic)].map((key): Command => ['ZREM', key, ...each.map(({ id }) => id)]),
      ),
      ['ZREM', this.keys.expiry, ...refs.map(({ id, topic }) => expiryMember(id, topic))],
    ]);
    const deleted = await this.db.all<number>(refs.map(({ id }) => ['DEL', this.keys.message(id)]));
    await this.topicIndex.removeEmpty([...byTopic.keys()]);
    return deleted.reduce((sum, n) => sum + n, 0);
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

  private async list<T extends Expiring>(
    { topic, after, limit, now }: MessageQuery,
    atOnce: number,
    read: (ids: readonly string[]) => Promise<T[]>,
  ): Promise<T[]> {
    const found: T[] = [];
    for (let from = after; found.length < limit;) {
      const count = Math.min(limit - found.length, atOnce);
      const ids = await this.db.one<string[]>('ZRANGEBYLEX', this.keys.ids(topic), from === '' ? '-' : `(${from}`, '+', 'LIMIT', 0, count);
      for (const each of await read(ids)) if (each.expiresAt === null || each.expiresAt > now) found.push(each);
      const last = ids.at(-1);
      if (last === undefined || ids.length < count) break;
      from = last;
    }
    return found;
  }

  listTopics(query: TopicQuery): Promise<string[]> {
    return this.topicIndex.list(query);
  }

  async trimTopic(topic: string, keep: number): Promise<number> {
    const surplus = (await this.db.one<number>('ZCARD', this.keys.ids(topic))) - keep;
    let removed = 0;
    while (removed < surplus) {
      const ids = await this.db.one<string[]>('ZRANGE', this.keys.ids(topic), 0, Math.min(surplus - removed, REMOVED_AT_ONCE) - 1);
      if (ids.length === 0) break;
      await this.removeStored(ids.map((id) => ({ topic, id })));
      removed += ids.length;
    }
    return removed;
  }

  /** Redis itself deletes expired tombstones. */
  async purgeExpired(now: number, limit: number): Promise<Purged> {
    const members = await this.db.one<string[]>('ZRANGEBYSCORE', this.keys.expiry, '-inf', now, 'LIMIT', 0, limit);
    if (members.length > 0) await this.removeStored(members.map(parseExpiryMember));
    return { removed: members.length, more: members.length >= limit };
  }

  countMessages(): Promise<number> {
    return this.db.one<number>('ZCARD', this.keys.expiry);
  }

  /** Two round trips for all topics, and some more for those whose first message has expired or is just being removed. */
  async topicCounts(topics: readonly string[], now: number): Promise<ReadonlyMap<string, TopicCount>> {
    const answers = await this.db.all<number | string[]>(
      topics.flatMap((topic): Command[] => [
        ['ZCARD', this.keys.ids(topic)],
        ['ZRANGE', this.keys.ids(topic), 0, 0],
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
      ['ZRANGEBYSCORE', this.keys.expiry, `(${now}`, '(+inf', 'LIMIT', 0, OLDEST_COMPARED],
      ['ZRANGEBYSCORE', this.keys.expiry, '+inf', '+inf', 'LIMIT', 0, OLDEST_COMPARED],
    ]);
    const found = await this.readRefs(pages.flat().map((member) => parseExpiryMember(member).id));
    return leastKnown(found.map(({ publishReceivedAt }) => publishReceivedAt));
  }
}

function groupByTopic<T extends MessageRef>(refs: readonly T[]): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const ref of refs) {
    const group = groups.get(ref.topic);
    if (group === undefined) groups.set(ref.topic, [ref]);
    else group.push(ref);
  }
  return groups;
}

/** Redis answers with a list: field, value, field, value, ... */
export function fromPairs(pairs: readonly Buffer[]): Record<string, Buffer> {
  const fields: [string, Buffer][] = [];
  for (let i = 0; i + 1 < pairs.length; i += 2) fields.push([pairs[i]!.toString(), pairs[i + 1]!]);
  return Object.fromEntries(fields);
}
