import { compareText } from '../shared/order';
import { listTopics, type TopicSource } from '../shared/topic-range';
import type { TopicQuery } from '../store';
import type { Database } from './database';

/**
 * The number of a topic's first bytes that are in the index, because an index row holds about 3,000 bytes and a topic
 * may have 65,535. Must equal migrations/mysql.
 */
const KEY_LENGTH = 700;
/** The rows of the index that one statement reads. At most this many are read of a topic that has more. */
const ROWS_PER_SCAN = 1_000;
/** Each topic may have up to 65,535 bytes. */
const LONG_TOPICS_PER_SCAN = 64;
/** UTF-8 contains no byte as great as this one. */
const END = Buffer.from([0xff]);

/**
 * The value that finds a topic. Topics with the same first bytes share it, so `topic` itself must be compared as well.
 */
export const keyOf = (topic: string): Buffer => Buffer.from(topic).subarray(0, KEY_LENGTH);

export const mayBeCut = (key: Buffer): boolean => key.length === KEY_LENGTH;

/**
 * The condition for a topic, with its bindings. Topics are compared as bytes, because the collations that MySQL and
 * MariaDB share ignore blanks at the end.
 */
export function ofTopic(topic: string): { where: string; bindings: (Buffer | string)[] } {
  const key = keyOf(topic);
  if (!mayBeCut(key)) return { where: 'topic_key = ?', bindings: [key] };
  return { where: 'topic_key = ? AND CAST(topic AS BINARY) = ?', bindings: [key, Buffer.from(topic)] };
}

interface KeyRow {
  readonly topic_key: Buffer;
  readonly n: number | string;
}

/** The distinct topics of a table whose index begins with topic_key. */
export class TopicIndex implements TopicSource {
  constructor(
    private readonly db: Database,
    private readonly table: 'mqtt_msg' | 'mqtt_retain',
  ) {}

  list(query: TopicQuery): Promise<string[]> {
    return listTopics(query, this);
  }

  async has(topic: string): Promise<boolean> {
    const { where, bindings } = ofTopic(topic);
    return (await this.db.rows(`SELECT 1 FROM ${this.table} WHERE ${where} LIMIT 1`, bindings)).length > 0;
  }

  async *behind(after: string, prefix: string): AsyncGenerator<string> {
    let from = keyOf(compareText(after, prefix) > 0 ? after : prefix);
    const end = successor(keyOf(prefix));
    // The first key is checked, too, because it may be the prefix itself, or belong to more topics than `after`.
    for (let comparison: '>=' | '>' = '>='; ; comparison = '>') {
      const rows = await this.keys(comparison, from, end);
      for (const { topic_key: key } of rows) {
        if (mayBeCut(key)) yield* this.longTopics(key, after, prefix);
        else if (compareText(key.toString(), after) > 0) yield key.toString();
      }
      const last = rows.at(-1);
      if (last === undefined || rows.reduce((sum, { n }) => sum + Number(n), 0) < ROWS_PER_SCAN) return;
      from = last.topic_key;
    }
  }

  /**
   * The keys among the next rows. With DISTINCT MySQL would read all rows of a topic, because it does not skip them.
   */
  private keys(comparison: '>=' | '>', from: Buffer, end: Buffer): Promise<KeyRow[]> {
    return this.db.rows<KeyRow>(
      `SELECT topic_key, COUNT(*) AS n FROM (
         SELECT topic_key FROM ${this.table} WHERE topic_key ${comparison} ? AND topic_key < ? ORDER BY topic_key LIMIT ${ROWS_PER_SCAN}
       ) AS next_rows GROUP BY topic_key ORDER BY topic_key`,
      [from, end],
    );
  }

  /**
   * The rare topics that are longer than a key. Each step reads all rows of the key, but only some topics into memory.
   */
  private async *longTopics(key: Buffer, after: string, prefix: string): AsyncGenerator<string> {
    for (let from: Buffer = Buffer.from(after); ;) {
      const rows = await this.db.rows<{ topic: Buffer }>(
        `SELECT DISTINCT CAST(topic AS BINARY) AS topic FROM ${this.table} WHERE topic_key = ? AND CAST(topic AS BINARY) > ?
         ORDER BY 1 LIMIT ${LONG_TOPICS_PER_SCAN}`,
        [key, from],
      );
      for (const { topic } of rows) if (topic.toString().startsWith(prefix)) yield topic.toString();
      const last = rows.at(-1);
      if (last === undefined || rows.length < LONG_TOPICS_PER_SCAN) return;
      from = last.topic;
    }
  }
}

/**
 * The first key after all keys that begin with the prefix. UTF-8 contains no 0xff, so the last byte can always be
 * incremented.
 */
function successor(prefix: Buffer): Buffer {
  if (prefix.length === 0) return END;
  const next = Buffer.from(prefix);
  next[next.length - 1]! += 1;
  return next;
}
