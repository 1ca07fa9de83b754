import { compareText } from '../shared/order';
import { listTopics, type TopicSource } from '../shared/topic-range';
import type { TopicQuery } from '../store';
import type { Database } from './database';

/**
 * The number of a topic's first characters that are in the index, because an index row holds about 2,700 bytes and a
 * topic may have 65,535. Must equal migrations/postgres.
 */
const KEY_LENGTH = 500;
const KEYS_PER_SCAN = 256;
/** Each topic may have up to 65,535 bytes. */
const LONG_TOPICS_PER_SCAN = 64;

/** A message's id in its sort order. */
export const ID = `msgid COLLATE "C"`;
/**
 * The expression that finds a topic. Topics with the same first characters share it, so `topic` itself must be compared
 * as well.
 */
export const KEY = `left(topic, ${KEY_LENGTH}) COLLATE "C"`;

/** left() counts characters, not UTF-16 units. */
export const keyOf = (topic: string): string => (topic.length <= KEY_LENGTH ? topic : [...topic].slice(0, KEY_LENGTH).join(''));

/** Whether several topics may share the key. */
const mayBeCut = (text: string): boolean => text.length >= KEY_LENGTH && [...text].length >= KEY_LENGTH;

/**
 * The condition that is needed besides the key. It is empty if the key alone is enough. A planner assumes that an
 * equality matches few rows, and without statistics so few that it would rather read the whole table than use the
 * index.
 */
export const besideKey = (topic: string): string => (mayBeCut(topic) ? 'AND topic = :topic' : '');

/**
 * The distinct topics of a table whose index begins with KEY. It is a loose index scan: one probe per topic, however
 * many rows each topic has.
 */
export class TopicIndex implements TopicSource {
  constructor(
    private readonly db: Database,
    private readonly table: 'mqtt_msg' | 'mqtt_retain',
  ) {}

  list(query: TopicQuery): Promise<string[]> {
    return listTopics(query, this);
  }

  async has(topic: string): Promise<boolean> {
    // With a range and an order instead of an equality the planner can only use this index.
    const rows = await this.db.rows(
      `SELECT 1 FROM ${this.table} WHERE ${KEY} >= :key AND ${KEY} <= :key ${besideKey(topic)} ORDER BY ${KEY} LIMIT 1`,
      { key: keyOf(topic), topic },
    );
    return rows.length > 0;
  }

  async *behind(after: string, prefix: string): AsyncGenerator<string> {
    let from = keyOf(compareText(after, prefix) > 0 ? after : prefix);
    // The first key is checked, too, because it may be the prefix itself, or belong to more topics than `after`.
    for (let comparison: '>=' | '>' = '>='; ; comparison = '>') {
      const keys = await this.keys(comparison, from, keyOf(prefix));
      for (const key of keys) {
        if (mayBeCut(key)) yield* this.longTopics(key, after);
        else if (compareText(key, after) > 0) yield key;
      }
      const last = keys.at(-1);
      if (last === undefined || keys.length < KEYS_PER_SCAN) return;
      from = last;
    }
  }

  private async keys(comparison: '>=' | '>', from: string, prefix: string): Promise<string[]> {
    const next = (condition: string) => `SELECT ${KEY} AS key FROM ${this.table} WHERE ${KEY} ${condition} ORDER BY ${KEY} LIMIT 1`;
    const rows = await this.db.rows<{ key: string }>(
      `WITH RECURSIVE keys AS (
         (${next(`${comparison} :from`)})
         UNION ALL SELECT (${next('> keys.key')}) FROM keys WHERE starts_with(keys.key, :prefix)
       ) SELECT key FROM keys WHERE starts_with(key, :prefix) LIMIT ${KEYS_PER_SCAN}`,
      { from, prefix },
    );
    return rows.map(({ key }) => key);
  }

  /**
   * The rare topics that are longer than a key. Each step reads all rows of the key, but only some topics into memory.
   */
  private async *longTopics(key: string, after: string): AsyncGenerator<string> {
    for (let from = after; ;) {
      const rows = await this.db.rows<{ topic: string }>(
        `SELECT DISTINCT topic COLLATE "C" AS topic FROM ${this.table} WHERE ${KEY} = :key AND topic COLLATE "C" > :from
         ORDER BY 1 LIMIT ${LONG_TOPICS_PER_SCAN}`,
        { key, from },
      );
      for (const { topic } of rows) yield topic;
      const last = rows.at(-1);
      if (last === undefined || rows.length < LONG_TOPICS_PER_SCAN) return;
      from = last.topic;
    }
  }
}
