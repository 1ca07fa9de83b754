import { compareText } from '../shared/order';
import { listTopics, type TopicSource } from '../shared/topic-range';
import type { TopicQuery } from '../store';
import type { Database } from './database';

const TOPICS_PER_SCAN = 1_000;
/** UTF-8 contains no byte as great as this one. */
const END = Buffer.from([0xff]);

/** Topics in a sorted set with equal scores, which Redis sorts by bytes. */
export class TopicIndex implements TopicSource {
  constructor(
    private readonly db: Database,
    private readonly key: string,
    /** The key of the content that a topic in the set stands for. */
    private readonly content: (topic: string) => string,
  ) {}

  /** Must be called after the content was written (see removeEmpty()). */
  async add(topics: readonly string[]): Promise<void> {
    if (topics.length > 0) await this.db.one('ZADD', this.key, ...[...new Set(topics)].flatMap((topic) => [0, topic]));
  }

  /**
   * Removes topics without content, then checks them again. If another process adds content at the same time, there are
   * two cases. It may have written the content before the second check, which then puts the topic back. Otherwise it
   * adds the topic to the index later itself.
   */
  async removeEmpty(topics: readonly string[]): Promise<void> {
    const gone = await this.without(true, topics);
    if (gone.length === 0) return;
    await this.db.one('ZREM', this.key, ...gone);
    await this.add(await this.without(false, gone));
  }

  private async without(empty: boolean, topics: readonly string[]): Promise<string[]> {
    const unique = [...new Set(topics)];
    const exists = await this.db.all<number>(unique.map((topic) => ['EXISTS', this.content(topic)]));
    return unique.filter((_, i) => (exists[i] === 0) === empty);
  }

  list(query: TopicQuery): Promise<string[]> {
    return listTopics(query, this);
  }

  async *behind(after: string, prefix: string): AsyncGenerator<string> {
    const end = Buffer.concat([Buffer.from(`(${prefix}`), END]);
    for (let from = compareText(after, prefix) >= 0 ? `(${after}` : `[${prefix}`; ;) {
      const topics = await this.db.one<string[]>('ZRANGEBYLEX', this.key, from, end, 'LIMIT', 0, TOPICS_PER_SCAN);
      yield* topics;
      const last = topics.at(-1);
      if (last === undefined || topics.length < TOPICS_PER_SCAN) return;
      from = `(${last}`;
    }
  }

  async has(topic: string): Promise<boolean> {
    return (await this.db.one<string | null>('ZSCORE', this.key, topic)) !== null;
  }
}
