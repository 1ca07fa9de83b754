import { MOST_COUNTED, type MessageStore, type TopicCount } from '../store';
import type { Client } from './client';
import { chunks, COVERED, NEVER, NEVER_MS } from './keys';
import { list, number } from './literal';

/** oldest() reads at most this many rows of one or two small columns. */
const MOST_ROWS_READ = 5_000_000;
/** In a table of at most this many rows, oldest() leaves out messages that are removed and not yet purged. */
const EXACT = 50_000;
const lives = (now: number): string => `(expires_ms = 0 OR expires_ms > ${number(now)})`;

/**
 * Reads `result` from the stored messages, removed ones left out. Each has its topic, its msgid and `at`, which is the
 * time of its publish (ms), or NEVER_MS if it has expired. `where` uses only topic and msgid.
 */
const fromStored = (where: string, now: number, result: string): string => {
  const time = `if(${lives(now)}, published_ms, ${NEVER})`;
  return `SELECT ${result} FROM (
      SELECT topic, msgid, max(s) AS stored, max(c) AS covered, max(t) AS at FROM (
        SELECT topic, msgid, stored_at AS s, toUInt64(0) AS c, ${time} AS t FROM mqtt_msg WHERE ${where}
        UNION ALL SELECT topic, msgid, toUInt64(0) AS s, ${COVERED} AS c, toInt64(0) AS t FROM mqtt_removed
          WHERE ${where} AND (topic, msgid) IN (SELECT topic, msgid FROM mqtt_msg WHERE ${where})
      ) GROUP BY topic, msgid HAVING stored > covered
    )`;
};

/** The sizes and ages of backlogs. */
export class Counts {
  constructor(
    private readonly db: Client,
    private readonly messages: Pick<MessageStore, 'listRefs'>,
  ) {}

  /** A topic with more than MOST_COUNTED rows is counted by its rows: messages that are removed and not yet purged are among them. */
  async ofTopics(topics: readonly string[], now: number): Promise<ReadonlyMap<string, TopicCount>> {
    const counts = new Map(topics.map((topic): [string, TopicCount] => [topic, { messages: 0, oldestAt: null }]));
    for (const chunk of chunks([...counts.keys()], (topic) => 8 * topic.length)) {
      const rows = await this.db.rows<{ topic: string; n: number }>(
        `SELECT topic, count() AS n FROM mqtt_msg WHERE topic IN ${list(chunk)} GROUP BY topic`,
      );
      const small = rows.filter(({ n }) => n <= MOST_COUNTED).map(({ topic }) => topic);
      for (const [topic, count] of await this.ofSmall(small, now)) counts.set(topic, count);
      for (const { topic, n } of rows.filter((row) => row.n > MOST_COUNTED)) {
        const [oldest] = await this.messages.listRefs({ topic, after: '', limit: 1, now });
        counts.set(topic, { messages: n, oldestAt: oldest?.publishReceivedAt ?? null });
      }
    }
    return counts;
  }

  private async ofSmall(topics: readonly string[], now: number): Promise<[string, TopicCount][]> {
    if (topics.length === 0) return [];
    // Ids of expired messages sort behind all others here.
    const result = `topic, count() AS n, argMin(at, if(at = ${NEVER}, concat('~', msgid), concat(' ', msgid))) AS oldest`;
    const rows = await this.db.rows<{ topic: string; n: number; oldest: number }>(
      `${fromStored(`topic IN ${list(topics)}`, now, result)} GROUP BY topic`,
    );
    return rows.map(({ topic, n, oldest }) => [topic, { messages: n, oldestAt: oldest === NEVER_MS ? null : oldest }]);
  }

  /**
   * The least time of all messages; of more than 50,000 rows that of the first 5,000,000 that the server reads, some of
   * which may be removed and not yet purged.
   */
  async oldest(now: number): Promise<number | null> {
    const rows = await this.db.count('SELECT count() AS n FROM mqtt_msg');
    const query =
      rows <= EXACT
        ? fromStored('1', now, 'minIf(at, at > 0) AS at, count() AS n')
        : `SELECT minIf(published_ms, published_ms > 0) AS at, count() AS n FROM mqtt_msg WHERE ${lives(now)}`;
    const [found] = await this.db.rows<{ at: number; n: number }>(query, { max_rows_to_read: MOST_ROWS_READ, read_overflow_mode: 'break' });
    // 0: no row has a time. A taken over row may lack it.
    return found === undefined || found.n === 0 || found.at === NEVER_MS || found.at === 0 ? null : found.at;
  }
}
