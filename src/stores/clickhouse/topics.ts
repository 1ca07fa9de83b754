import { matches } from '../../mqtt/topic';
import { compareText } from '../shared/order';
import { topicRange } from '../shared/topic-range';
import type { TopicQuery } from '../store';
import type { Client } from './client';
import { chunks, visible } from './keys';
import { list, text } from './literal';
import { between, endOfPage, type Range } from './pages';

/** A page of rows. The next pages of a call are larger, because there may be many rows of each topic. */
const ROWS_PER_PAGE = 256;
const MOST_ROWS_PER_PAGE = 65_536;
/** Topics with more rows than this are checked one by one, each only for its first message. */
const FEW_ROWS = 1_000;

/** Where the topics of a table come from. */
interface TopicSource {
  readonly table: Range['table'];
  /** The topics of these rows that match the filter and count, in ascending order. The condition concerns only the topic. */
  page(condition: string, filter: string): Promise<string[]>;
  has(topic: string): Promise<boolean>;
}

/** Topics that match a filter, in ascending order, page by page. */
export async function matchingTopics(db: Client, source: TopicSource, { filter, after, limit }: TopicQuery): Promise<string[]> {
  const { exact, prefix } = topicRange(filter);
  const found: string[] = [];
  if (limit > 0 && exact !== null && compareText(exact, after) > 0 && (await source.has(exact))) found.push(exact);
  if (prefix === null) return found;
  // Everything that begins with `a/` sorts before `a0`, because `0` follows the slash.
  const where = prefix === '' ? '1' : `topic >= ${text(prefix)} AND topic < ${text(`${prefix.slice(0, -1)}0`)}`;
  const range: Range = { table: source.table, where, column: 'topic' };
  for (let from = after, size = Math.max(ROWS_PER_PAGE, limit); found.length < limit; size = Math.min(4 * size, MOST_ROWS_PER_PAGE)) {
    const end = await endOfPage(db, range, from, size);
    found.push(...(await source.page(between(range, from, end), filter)));
    if (end === null) break;
    from = end;
  }
  return found.slice(0, limit);
}

interface Counted {
  readonly topic: string;
  /** Rows of mqtt_msg. */
  readonly n: number;
  /** Rows of mqtt_removed. */
  readonly removed: number;
}

/** The topics of mqtt_msg, which is in the order of its topics. No table of topics has to be written with the messages. */
export class MessageTopics implements TopicSource {
  readonly table = 'mqtt_msg';

  constructor(
    private readonly db: Client,
    /** Tells whether the topic has a stored message. */
    private readonly messages: { has(topic: string): Promise<boolean> },
  ) {}

  list(query: TopicQuery): Promise<string[]> {
    return matchingTopics(this.db, this, query);
  }

  has(topic: string): Promise<boolean> {
    return this.messages.has(topic);
  }

  async page(condition: string, filter: string): Promise<string[]> {
    const rows = await this.db.rows<Counted>(
      `SELECT topic, sum(m) AS n, sum(r) AS removed FROM (
         SELECT topic, 1 AS m, 0 AS r FROM mqtt_msg WHERE ${condition}
         UNION ALL SELECT topic, 0 AS m, 1 AS r FROM mqtt_removed WHERE ${condition}
       ) GROUP BY topic HAVING n > 0 ORDER BY topic`,
    );
    const topics = rows.filter(({ topic }) => matches(filter, topic));
    const living = await this.living(topics.filter(({ removed }) => removed > 0));
    return topics.filter(({ topic, removed }) => removed === 0 || living.has(topic)).map(({ topic }) => topic);
  }

  /** Those of the topics that have a message that is not removed. */
  private async living(topics: readonly Counted[]): Promise<Set<string>> {
    const found = new Set<string>();
    const few = topics.filter(({ n }) => n <= FEW_ROWS).map(({ topic }) => topic);
    for (const chunk of chunks(few, (topic) => 2 * topic.length)) {
      const rows = await this.db.rows<{ topic: string }>(
        `SELECT DISTINCT topic FROM (${visible('topic, msgid', `topic IN ${list(chunk)}`)})`,
      );
      for (const { topic } of rows) found.add(topic);
    }
    for (const { topic, n } of topics) if (n > FEW_ROWS && (await this.has(topic))) found.add(topic);
    return found;
  }
}
