import type { Document } from 'mongodb';
import type { Message, MessageRef } from '../../mqtt/message';
import { saveOrBisect } from '../shared/bisect';
import { MOST_COUNTED, OLDEST_COMPARED, type MessageQuery, type MessageStore, type Purged, type Refusal, type StoredRef } from '../store';
import type { TopicCount, TopicQuery } from '../store';
import { inCommands } from './commands';
import type { Database, Query } from './database';
import { keyOf } from './keys';
import { timeOf, toDocument, toMessage, type MessageDocument } from './rows';
import { leastKnown } from '../shared/known-times';
import { firstOfEachId } from '../shared/first-of-each';
import { Tombstones } from './tombstones';
import { TopicIndex } from './topic-index';

/**
 * Makes the planner use this index. Otherwise it may read another topic's million messages in the index of ids to
 * return a hundred.
 */
const BY_TOPIC = 'mqtt_msg_topic_key_msgid';

const BY_ID = 'mqtt_msg_msgid';
/** Topics that are counted at once, with two commands each. */
const TOPICS_AT_ONCE = 16;

/** The fields that are read. An operator's own fields may be large. */
const FIELDS = Object.fromEntries(
  ['msgid', 'topic', 'sender', 'username', 'qos', 'retain', 'payload', 'properties', 'arrived', 'expires_at'].map((name) => [name, 1]),
);

/** mqtt_msg and mqtt_tombstone. */
export class MessageCollection implements MessageStore {
  private readonly topicIndex: TopicIndex;
  private readonly tombstones: Tombstones;

  constructor(private readonly db: Database) {
    this.tombstones = new Tombstones(db);
    this.topicIndex = new TopicIndex(db, 'mqtt_msg', { hint: BY_TOPIC });
  }

  /**
   * Keeps promises 2 and 3 when another process handles an acknowledgement at the same time. remove() first writes its
   * tombstones and then looks for the messages; save() first writes the messages and then looks for tombstones.
   * Whichever looks last sees what the other has written.
   *
   * save() also looks before it writes, so that a message whose acknowledgement came earlier is not visible even for a
   * moment. It deletes what that look finds: an earlier save of the same message may have failed between its write and
   * its second look, and remove() may have looked before that write.
   */
  async saveMessages(messages: readonly Message[], now = Date.now()): Promise<Refusal[]> {
    const first = firstOfEachId(messages);
    const gone = new Set(await this.removedOf(first, now));
    const left = first.filter(({ id }) => !gone.has(id));
    const refusals: Refusal[] = [];
    await inCommands(left, bytesOf, async (part) => {
      const refusedAlone = await saveOrBisect(part, async (batch) => void refusals.push(...(await this.insert(batch))));
      refusals.push(...refusedAlone);
    });
    if (left.length > 0) await this.removedOf(left, now);
    return refusals;
  }

  /** A message that is stored already stays unchanged, because of the unique index on msgid. */
  private async insert(messages: readonly Message[]): Promise<Refusal[]> {
    const { refused } = await this.db.bulk(
      'mqtt_msg',
      messages.map((message) => ({ insertOne: { document: toDocument(message) } })),
    );
    return refused.map(({ index, reason }) => ({ id: messages[index]?.id ?? '', reason }));
  }

  /** Deletes those of the messages that have a tombstone. @returns their ids. */
  private async removedOf(messages: readonly Message[], now: number): Promise<string[]> {
    const ids = messages.map(({ id }) => id);
    const removed = await this.tombstones.among(ids, now);
    if (removed.length > 0) await this.db.delete('mqtt_msg', { msgid: { $in: removed } });
    return removed;
  }

  async removeMessages(refs: readonly MessageRef[], tombstoneUntil: number): Promise<number> {
    const ids = [...new Set(refs.map(({ id }) => id))];
    await this.tombstones.put(ids, tombstoneUntil);
    return this.db.delete('mqtt_msg', { msgid: { $in: ids } });
  }

  async getMessage(id: string): Promise<Message | null> {
    const [found] = await this.db.find<MessageDocument>('mqtt_msg', { msgid: id }, { limit: 1, projection: FIELDS });
    return found === undefined ? null : toMessage(found);
  }

  listTopics(query: TopicQuery): Promise<string[]> {
    return this.topicIndex.list(query);
  }

  async listMessages({ topic, after, limit, now }: MessageQuery): Promise<Message[]> {
    if (limit <= 0) return [];
    const found = await this.db.find<MessageDocument>('mqtt_msg', living(topic, after, now), {
      sort: { msgid: 1 },
      limit,
      projection: FIELDS,
      hint: BY_TOPIC,
    });
    return found.map((each) => toMessage(each));
  }

  async listRefs({ topic, after, limit, now }: MessageQuery): Promise<StoredRef[]> {
    if (limit <= 0) return [];
    const found = await this.db.find<Pick<MessageDocument, 'msgid' | 'arrived'>>('mqtt_msg', living(topic, after, now), {
      ...{ sort: { msgid: 1 }, limit, projection: { _id: 0, msgid: 1, arrived: 1 }, hint: BY_TOPIC },
    });
    return found.map(({ msgid, arrived }) => ({ id: msgid, publishReceivedAt: timeOf(arrived) ?? 0 }));
  }

  async trimTopic(topic: string, keep: number): Promise<number> {
    const ofTopic = { topic_key: keyOf(topic) };
    const [newestGone] = await this.db.find<{ msgid: string }>('mqtt_msg', ofTopic, {
      ...{ sort: { msgid: -1 }, skip: keep, limit: 1, projection: { _id: 0, msgid: 1 }, hint: BY_TOPIC },
    });
    if (newestGone === undefined) return 0;
    return this.db.delete('mqtt_msg', { ...ofTopic, msgid: { $lte: newestGone.msgid } }, { hint: BY_TOPIC });
  }

  async purgeExpired(now: number, limit: number): Promise<Purged> {
    const [tombstones, removed] = await Promise.all([this.purgeFrom('mqtt_tombstone', now, limit), this.purgeFrom('mqtt_msg', now, limit)]);
    return { removed, more: removed >= limit || tombstones >= limit };
  }

  /** The condition is repeated in the deletion, because a tombstone may have been extended meanwhile. */
  private async purgeFrom(collection: string, now: number, limit: number): Promise<number> {
    if (limit <= 0) return 0;
    const expired = { expires_at: { $lte: new Date(now) } };
    const found = await this.db.find<Document>(collection, expired, { sort: { expires_at: 1 }, limit, projection: { _id: 1 } });
    if (found.length === 0) return 0;
    return this.db.delete(collection, { _id: { $in: found.map(({ _id }) => _id) }, ...expired });
  }

  countMessages(): Promise<number> {
    return this.db.count('mqtt_msg');
  }

  /** Two commands for each topic: MongoDB counts in the index alone. */
  async topicCounts(topics: readonly string[], now: number): Promise<ReadonlyMap<string, TopicCount>> {
    const counts = new Map<string, TopicCount>();
    for (let i = 0; i < topics.length; i += TOPICS_AT_ONCE) {
      const asked = topics.slice(i, i + TOPICS_AT_ONCE);
      for (const [topic, count] of await Promise.all(asked.map((topic) => this.countOf(topic, now)))) counts.set(topic, count);
    }
    return counts;
  }

  private async countOf(topic: string, now: number): Promise<[string, TopicCount]> {
    const query = { count: 'mqtt_msg', query: { topic_key: keyOf(topic) }, limit: MOST_COUNTED, hint: BY_TOPIC };
    const [{ n }, [oldest]] = await Promise.all([this.db.command(query), this.listRefs({ topic, after: '', limit: 1, now })]);
    return [topic, { messages: Number(n), oldestAt: oldest?.publishReceivedAt ?? null }];
  }

  /**
   * If all of the first messages have expired and are not purged yet, the answer is the time of the oldest of these. No
   * message is older.
   */
  async oldestMessageAt(now: number): Promise<number | null> {
    const options = { sort: { msgid: 1 }, limit: OLDEST_COMPARED, projection: { _id: 0, arrived: 1, expires_at: 1 }, hint: BY_ID } as const;
    const first = await this.db.find<Pick<MessageDocument, 'arrived' | 'expires_at'>>('mqtt_msg', {}, options);
    const living = first.filter(({ expires_at }) => (timeOf(expires_at) ?? Infinity) > now);
    const times = (living.length > 0 ? living : first).map(({ arrived }) => timeOf(arrived) ?? 0);
    return leastKnown(times);
  }
}

const living = (topic: string, after: string, now: number): Query => ({
  ...{ topic_key: keyOf(topic), msgid: { $gt: after }, expires_at: { $not: { $lte: new Date(now) } } },
});

/** About the size of the message's document. */
const bytesOf = ({ topic, payload }: Message): number => topic.length + payload.length;
