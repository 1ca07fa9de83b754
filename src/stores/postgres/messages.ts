import type { Message, MessageRef } from '../../offline/message';
import { literalPrefix, matches } from '../../offline/topic';
import { saveOrBisect } from '../shared/bisect';
import type { MessageQuery, Refusal, TopicQuery } from '../store';
import type { Database } from './database';
import { COLUMNS, toColumns, toMessage, UNNEST, type MessageRow } from './rows';

/** As in the index: topics with the same beginning share a key. */
const KEY_LENGTH = 500;
const KEY = `left(topic, ${KEY_LENGTH}) COLLATE "C"`;
const TOPICS_PER_SCAN = 256;
/** Below it the planner's estimate may be missing or rough and counting is cheap. */
const EXACT_COUNT = 100_000;

/** Characters, not UTF-16 units, as left() counts. */
const keyOf = (topic: string): string => (topic.length <= KEY_LENGTH ? topic : [...topic].slice(0, KEY_LENGTH).join(''));

/** mqtt_msg and mqtt_tombstone. Each function is one statement. */
export class MessageTable {
  constructor(private readonly db: Database) {}

  save(messages: readonly Message[], now: number): Promise<Refusal[]> {
    return saveOrBisect(messages, async (batch) => {
      await this.db.rows(
        `INSERT INTO mqtt_msg (msgid, sender, topic, qos, retain, payload, arrived, payload_bin, username, properties, published_at, expires_at)
         SELECT msgid, sender, topic, qos, retain, payload, to_timestamp(published_at / 1000.0)::timestamp, payload_bin, username, properties,
                published_at, expires_at
         FROM ${UNNEST}
         WHERE NOT EXISTS (SELECT 1 FROM mqtt_tombstone t WHERE t.msgid = m.msgid AND t.expires_at > :now)
         ON CONFLICT DO NOTHING`,
        { ...toColumns(batch), now },
      );
    });
  }

  async remove(refs: readonly MessageRef[], tombstoneUntil: number): Promise<number> {
    const [row] = await this.db.rows<{ n: string }>(
      `WITH ids AS (SELECT DISTINCT id COLLATE "C" AS id FROM unnest(:ids::text[]) AS id),
            buried AS (INSERT INTO mqtt_tombstone AS t (msgid, expires_at) SELECT id, :until FROM ids ORDER BY id
                       ON CONFLICT (msgid) DO UPDATE SET expires_at = greatest(t.expires_at, excluded.expires_at)),
            removed AS (DELETE FROM mqtt_msg WHERE msgid COLLATE "C" IN (SELECT id FROM ids) RETURNING 1)
       SELECT count(*) AS n FROM removed`,
      { ids: refs.map(({ id }) => id), until: tombstoneUntil },
    );
    return Number(row?.n ?? 0);
  }

  async get(id: string): Promise<Message | null> {
    const [row] = await this.db.rows<MessageRow>(`SELECT ${COLUMNS}, retain FROM mqtt_msg WHERE msgid COLLATE "C" = :id`, { id });
    return row === undefined ? null : toMessage(row, row.retain === 1);
  }

  async list({ topic, after, limit, now }: MessageQuery): Promise<Message[]> {
    const rows = await this.db.rows<MessageRow>(
      `SELECT ${COLUMNS}, retain FROM mqtt_msg
       WHERE ${KEY} = :key AND topic = :topic AND msgid COLLATE "C" > :after AND (expires_at IS NULL OR expires_at > :now)
       ORDER BY msgid COLLATE "C" LIMIT :limit`,
      { key: keyOf(topic), topic, after, now, limit },
    );
    return rows.map((row) => toMessage(row, row.retain === 1));
  }

  async topics({ filter, after, limit }: TopicQuery): Promise<string[]> {
    const prefix = literalPrefix(filter);
    const found: string[] = [];
    for (let from = after > prefix ? after : prefix, inclusive = after < prefix; found.length < limit; inclusive = false) {
      const topics = await this.scan(from, inclusive);
      for (const topic of topics) {
        if (!topic.startsWith(prefix)) return found;
        if (matches(filter, topic) && found.length < limit) found.push(topic);
      }
      const last = topics.at(-1);
      if (last === undefined) break;
      from = last;
    }
    return found;
  }

  /** Some distinct topics behind `from`: a loose index scan, one probe a topic, however many messages each has. */
  private async scan(from: string, inclusive: boolean): Promise<string[]> {
    const key = keyOf(from);
    // A key that was cut stands for several topics: the rest of them comes first.
    const cut = key.length < from.length || [...key].length === KEY_LENGTH;
    const next = (condition: string) => `SELECT ${KEY} AS key FROM mqtt_msg WHERE ${KEY} ${condition} ORDER BY ${KEY} LIMIT 1`;
    const rows = await this.db.rows<{ key: string }>(
      `WITH RECURSIVE keys AS (
         (${next(`${inclusive || cut ? '>=' : '>'} :key`)})
         UNION ALL SELECT (${next('> keys.key')}) FROM keys WHERE keys.key IS NOT NULL
       ) SELECT key FROM keys WHERE key IS NOT NULL LIMIT ${TOPICS_PER_SCAN}`,
      { key },
    );
    const topics: string[] = [];
    for (const each of rows) topics.push(...([...each.key].length < KEY_LENGTH ? [each.key] : await this.longTopics(each.key)));
    return topics.filter((topic) => (inclusive ? compare(topic, from) >= 0 : compare(topic, from) > 0));
  }

  private async longTopics(key: string): Promise<string[]> {
    const rows = await this.db.rows<{ topic: string }>(
      `SELECT DISTINCT topic COLLATE "C" AS topic FROM mqtt_msg WHERE ${KEY} = :key ORDER BY 1`,
      { key },
    );
    return rows.map(({ topic }) => topic);
  }

  async trim(topic: string, keep: number): Promise<number> {
    const rows = await this.db.rows(
      `DELETE FROM mqtt_msg WHERE id IN (
         SELECT id FROM mqtt_msg WHERE ${KEY} = :key AND topic = :topic ORDER BY msgid COLLATE "C" DESC OFFSET :keep) RETURNING 1`,
      { key: keyOf(topic), topic, keep },
    );
    return rows.length;
  }

  async purge(now: number, limit: number): Promise<number> {
    const [row] = await this.db.rows<{ n: string }>(
      `WITH gone AS (DELETE FROM mqtt_msg WHERE id IN (SELECT id FROM mqtt_msg WHERE expires_at <= :now LIMIT :limit) RETURNING 1),
            forgotten AS (DELETE FROM mqtt_tombstone WHERE msgid IN
                           (SELECT msgid FROM mqtt_tombstone WHERE expires_at <= :now LIMIT :limit) RETURNING 1)
       SELECT count(*) AS n FROM gone`,
      { now, limit },
    );
    return Number(row?.n ?? 0);
  }

  async count(): Promise<number> {
    const [estimate] = await this.db.rows<{ n: number }>(`SELECT reltuples AS n FROM pg_class WHERE oid = 'mqtt_msg'::regclass`);
    if (estimate !== undefined && estimate.n > EXACT_COUNT) return Math.round(estimate.n);
    const [exact] = await this.db.rows<{ n: string }>('SELECT count(*) AS n FROM mqtt_msg');
    return Number(exact?.n ?? 0);
  }
}

/** As the database sorts: by code point. */
function compare(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
