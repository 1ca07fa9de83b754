import type { FindOptions } from 'mongodb';
import { compareText } from '../shared/order';
import { listTopics, type TopicSource } from '../shared/topic-range';
import type { TopicQuery } from '../store';
import type { Database, Query } from './database';
import { beginOf, endOfAlike, isLong, keyOf } from './keys';

/**
 * Reading this many keys costs about as much as a round trip. A topic with one message is one of them, and a topic with
 * a million costs one read.
 */
const KEYS_PER_READ = 128;
/** Each topic may have up to 65,535 bytes. */
const LONG_TOPICS_PER_READ = 64;

/**
 * The distinct topics of a collection whose index ends with topic_key, or with topic_key and msgid. It goes from topic
 * to topic without reading all messages.
 */
export class TopicIndex implements TopicSource {
  constructor(
    private readonly db: Database,
    private readonly collection: string,
    private readonly options: Pick<FindOptions, 'hint'>,
    /** Only documents that match this are considered. */
    private readonly scope: Query = {},
  ) {}

  list(query: TopicQuery): Promise<string[]> {
    return listTopics(query, this);
  }

  async has(topic: string): Promise<boolean> {
    return (await this.keys({ $eq: keyOf(topic) }, 1)).length > 0;
  }

  /** Topics that begin with the prefix and are greater than `after`, ascending. */
  async *behind(after: string, prefix = ''): AsyncGenerator<string> {
    const begin = beginOf(prefix);
    // The first key is checked, too, because it may be the prefix itself, or stand for topics with the same beginning
    // as `after`.
    let range: Record<string, string> = { $gte: beginOf(compareText(after, prefix) > 0 ? after : prefix) };
    for (let more = true; more;) {
      const keys = await this.keys(range, KEYS_PER_READ);
      more = keys.length === KEYS_PER_READ;
      for (const key of new Set(keys)) {
        if (!key.startsWith(begin)) return;
        // Keys with the same beginning are next to each other, so the first one stands for all of them.
        if (isLong(key)) {
          yield* this.longTopics(beginOf(key), after);
          range = { $gt: endOfAlike(beginOf(key)) };
          more = true;
          break;
        }
        if (compareText(key, after) > 0) yield key;
        range = { $gt: key };
      }
    }
  }

  private async keys(range: Record<string, string>, limit: number): Promise<string[]> {
    // With this projection the index alone can answer the query.
    const projection = { _id: 0, topic_key: 1 };
    const found = await this.db.find<{ topic_key: string }>(
      this.collection,
      { ...this.scope, topic_key: range },
      { projection, sort: { topic_key: 1 }, limit, ...this.options },
    );
    return found.map(({ topic_key }) => topic_key);
  }

  /**
   * The rare topics that are longer than a key and begin alike. Their keys don't sort like the topics. Only some of
   * them are read into memory.
   */
  private async *longTopics(begin: string, after: string): AsyncGenerator<string> {
    for (let from = after; ;) {
      const next = await this.nextLongTopics(begin, from);
      yield* next;
      if (next.length < LONG_TOPICS_PER_READ) return;
      from = next.at(-1) ?? from;
    }
  }

  private async nextLongTopics(begin: string, after: string): Promise<string[]> {
    const least = new Set<string>();
    for (let from = begin; ;) {
      const found = await this.db.find<{ topic_key: string; topic: string }>(
        this.collection,
        { ...this.scope, topic_key: { $gt: from, $lt: endOfAlike(begin) } },
        { projection: { _id: 0, topic_key: 1, topic: 1 }, sort: { topic_key: 1 }, limit: LONG_TOPICS_PER_READ, ...this.options },
      );
      for (const { topic } of found) if (compareText(topic, after) > 0) least.add(topic);
      for (const topic of [...least].sort(compareText).slice(LONG_TOPICS_PER_READ)) least.delete(topic);
      const last = found.at(-1);
      if (last === undefined || found.length < LONG_TOPICS_PER_READ) return [...least].sort(compareText);
      from = last.topic_key;
    }
  }
}
