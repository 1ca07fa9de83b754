import { matches } from '../../mqtt/topic';
import { compareText } from '../shared/order';
import { topicRange } from '../shared/topic-range';
import type { TopicQuery } from '../store';
import type { Client } from './client';
import { chunks, keyOf, states, visible } from './keys';
import { list, text } from './literal';
import { between, endOfPage, type Range } from './pages';

const TOPICS_PER_PAGE = 256;
/** Topics with more rows than this are checked one by one, each only for its first message. */
const FEW_ROWS = 1_000;

interface Candidate {
  readonly topic: string;
  readonly last: string;
}

/** The source of a page of topics: the candidates of a table, and the check which of them count. */
interface TopicSource<C extends { readonly topic: string }> {
  readonly table: Range['table'];
  /** Columns besides `topic` that `living` needs. There is one row per topic. */
  readonly columns: string;
  /** The topics that count, in the order of the candidates. */
  living(candidates: readonly C[]): Promise<string[]>;
}

/** Topics that match a filter, in ascending order, page by page. */
export async function matchingTopics<C extends { readonly topic: string }>(
  db: Client,
  source: TopicSource<C>,
  { filter, after, limit }: TopicQuery,
): Promise<string[]> {
  const { exact, prefix } = topicRange(filter);
  const found: string[] = [];
  const page = async (condition: string): Promise<void> => {
    const rows = await db.rows<C>(`SELECT topic, ${source.columns} FROM ${source.table} WHERE ${condition} GROUP BY topic ORDER BY topic`);
    found.push(...(await source.living(rows.filter(({ topic }) => matches(filter, topic)))));
  };
  if (limit > 0 && exact !== null && compareText(exact, after) > 0) await page(`topic = ${text(exact)}`);
  if (prefix === null) return found;
  // Everything that begins with `a/` sorts before `a0`, because `0` follows the slash.
  const where = prefix === '' ? '1' : `topic >= ${text(prefix)} AND topic < ${text(`${prefix.slice(0, -1)}0`)}`;
  const range: Range = { table: source.table, where, column: 'topic' };
  for (let from = after; found.length < limit;) {
    const end = await endOfPage(db, range, from, TOPICS_PER_PAGE);
    await page(between(range, from, end));
    if (end === null) break;
    from = end;
  }
  return found.slice(0, limit);
}

/** mqtt_topic contains every topic that ever had messages, until it is purged. */
export class TopicTable implements TopicSource<Candidate> {
  readonly table = 'mqtt_topic';
  readonly columns = 'argMax(last_id, seen_at) AS last';

  constructor(
    private readonly db: Client,
    /** Tells whether the topic still has a stored message. */
    private readonly messages: { has(topic: string): Promise<boolean> },
  ) {}

  list(query: TopicQuery): Promise<string[]> {
    return matchingTopics(this.db, this, query);
  }

  /** In most topics with messages the newest message is still stored, so reading one row per topic is enough. */
  async living(candidates: readonly Candidate[]): Promise<string[]> {
    if (candidates.length === 0) return [];
    const known = await states(
      this.db,
      candidates.map(({ topic, last }) => ({ topic, id: last })),
    );
    const sure = ({ topic, last }: Candidate) => (known.get(keyOf({ topic, id: last }))?.stored.length ?? 0) > 0;
    const others = await this.withOthers(candidates.filter((each) => !sure(each)).map(({ topic }) => topic));
    return candidates.filter((each) => sure(each) || others.has(each.topic)).map(({ topic }) => topic);
  }

  /** The topics whose newest message is removed but that have other messages. */
  private async withOthers(topics: readonly string[]): Promise<Set<string>> {
    const found = new Set<string>();
    for (const chunk of chunks(topics, (topic) => 2 * topic.length)) {
      const counts = await this.db.rows<{ topic: string; n: number }>(
        `SELECT topic, count() AS n FROM mqtt_msg WHERE topic IN ${list(chunk)} GROUP BY topic`,
      );
      const small = counts.filter(({ n }) => n <= FEW_ROWS).map(({ topic }) => topic);
      for (const topic of await this.withAny(small)) found.add(topic);
      for (const { topic, n } of counts) if (n > FEW_ROWS && (await this.messages.has(topic))) found.add(topic);
    }
    return found;
  }

  private async withAny(topics: readonly string[]): Promise<string[]> {
    if (topics.length === 0) return [];
    const rows = await this.db.rows<{ topic: string }>(
      `SELECT DISTINCT topic FROM (${visible('topic, msgid', `topic IN ${list(topics)}`)})`,
    );
    return rows.map(({ topic }) => topic);
  }
}
