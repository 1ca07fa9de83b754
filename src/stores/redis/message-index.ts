import type { Message, MessageRef } from '../../mqtt/message';
import type { TopicQuery } from '../store';
import type { Command, Database } from './database';
import { byTopic, slices } from './groups';
import { idScore } from './id-score';
import type { Keys } from './keys';
import { BEGIN, END } from './message-scripts';
import { lifeOf } from './message-writer';
import { TopicIndex } from './topic-index';

type Living = Pick<Message, 'id' | 'expiresAt'>;

/** The entries of messages: in lives, in their topics' sets, and in the list of topics. Each command concerns one key. */
export class MessageIndex {
  private readonly topics: TopicIndex;

  constructor(
    private readonly db: Database,
    private readonly keys: Keys,
  ) {
    this.topics = new TopicIndex(db, keys.topics, (topic) => keys.topic(topic));
  }

  /** Enters messages in lives. Idempotent. @returns the ids that have a valid tombstone. */
  async begin(messages: readonly Living[], now: number): Promise<Set<string>> {
    const commands = slices(messages).map((some): Command => {
      const entries = some.flatMap((message) => [lifeOf(message), message.id]);
      return ['EVAL', BEGIN, 1, this.keys.lives, now, ...entries];
    });
    return new Set((await this.db.all<string[]>(commands)).flat());
  }

  /**
   * Removes the ids from lives. A process that saves one of these messages again may have written its hash meanwhile: then the second look
   * finds it and enters it again, with its own expiry.
   */
  async end(ids: readonly string[], now: number): Promise<void> {
    await this.db.one('EVAL', END, 1, this.keys.lives, now, ...ids);
    const exists = await this.db.all<number>(ids.map((id) => ['EXISTS', this.keys.message(id)]));
    const again = ids.filter((_, i) => exists[i] === 1);
    if (again.length > 0) await this.begin(await this.expiriesOf(again), now);
  }

  private async expiriesOf(ids: readonly string[]): Promise<Living[]> {
    const expiries = await this.db.all<string | null>(ids.map((id) => ['HGET', this.keys.message(id), 'expires_at']));
    return ids.map((id, i) => ({ id, expiresAt: expiries[i] == null ? null : Number(expiries[i]) }));
  }

  /** Idempotent. */
  async add(refs: readonly MessageRef[]): Promise<void> {
    await this.db.all(
      byTopic(refs).map(([topic, each]): Command => ['ZADD', this.keys.topic(topic), ...each.flatMap(({ id }) => [idScore(id), id])]),
    );
  }

  /** Must be called after add() for these messages (see TopicIndex.removeEmpty()). */
  addTopics(refs: readonly MessageRef[]): Promise<void> {
    return this.topics.add(refs.map(({ topic }) => topic));
  }

  /** Must be called before the messages themselves are removed. */
  async remove(refs: readonly MessageRef[]): Promise<void> {
    await this.db.all(byTopic(refs).map(([topic, each]): Command => ['ZREM', this.keys.topic(topic), ...each.map(({ id }) => id)]));
  }

  /** Must be called after remove() (see TopicIndex.removeEmpty()). */
  removeTopics(refs: readonly Pick<MessageRef, 'topic'>[]): Promise<void> {
    return this.topics.removeEmpty(refs.map(({ topic }) => topic));
  }

  /**
   * Removes ids from the topic's set that a reader found without a message. Redis may have lost the message, or a
   * server died while it removed it. A process may be saving the message again: it writes the hash first, so that the
   * second look here finds it.
   */
  async removeAbsent(topic: string, ids: readonly string[]): Promise<void> {
    const refs = ids.map((id) => ({ id, topic }));
    await this.remove(refs);
    const exists = await this.db.all<number>(ids.map((id) => ['EXISTS', this.keys.message(id)]));
    const again = refs.filter((_, i) => exists[i] === 1);
    await this.add(again);
    await this.addTopics(again);
    await this.removeTopics(refs);
  }

  /** Removes all entries of those messages that are not there. Valid tombstones stay. */
  async removeMissing(refs: readonly MessageRef[], now: number): Promise<void> {
    const exists = await this.db.all<number>(refs.map(({ id }) => ['EXISTS', this.keys.message(id)]));
    const missing = refs.filter((_, i) => exists[i] === 0);
    if (missing.length === 0) return;
    await this.remove(missing);
    await this.removeTopics(missing);
    await this.end(
      missing.map(({ id }) => id),
      now,
    );
  }

  listTopics(query: TopicQuery): Promise<string[]> {
    return this.topics.list(query);
  }
}
