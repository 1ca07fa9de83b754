import { MOST_COUNTED, OLDEST_COMPARED, type TopicCount } from '../store';
import type { Binding, Database } from './database';
import { PUBLISHED_AT } from './rows';
import { ofTopic } from './topic-index';

/** Each topic is a part of the statement. */
const TOPICS_PER_STATEMENT = 64;
const BY_TOPIC = 'FORCE INDEX (mqtt_msg_topic_key_msgid)';

interface CountRow {
  readonly place: number;
  readonly n: number | string;
  readonly published_at: number | string | null;
}

/** Counting reads the index of topics and ids alone. */
export async function countsOf(db: Database, topics: readonly string[], now: number): Promise<ReadonlyMap<string, TopicCount>> {
  const counts = new Map<string, TopicCount>();
  for (let i = 0; i < topics.length; i += TOPICS_PER_STATEMENT) {
    const asked = topics.slice(i, i + TOPICS_PER_STATEMENT);
    const rows = await db.rows<CountRow>(
      asked.map(countOf).join(' UNION ALL '),
      asked.flatMap((topic, place) => bindingsOf(topic, place, now)),
    );
    for (const { place, n, published_at: at } of rows) {
      counts.set(asked[place] ?? '', { messages: Number(n), oldestAt: at === null ? null : Number(at) });
    }
  }
  return counts;
}

function countOf(topic: string): string {
  const { where } = ofTopic(topic);
  return `SELECT ? AS place,
    (SELECT COUNT(*) FROM (SELECT 1 FROM mqtt_msg ${BY_TOPIC} WHERE ${where} LIMIT ${MOST_COUNTED}) AS counted_rows) AS n,
    (SELECT ${PUBLISHED_AT} FROM mqtt_msg ${BY_TOPIC} WHERE ${where} AND (expires_at IS NULL OR expires_at > ?)
       ORDER BY topic_key, msgid LIMIT 1) AS published_at`;
}

function bindingsOf(topic: string, place: number, now: number): Binding[] {
  const { bindings } = ofTopic(topic);
  return [place, ...bindings, ...bindings, now];
}

/**
 * If all of the first messages have expired and are not purged yet, the answer is the time of the oldest of these. No message is older.
 * Where `id` is the primary key, MariaDB reads the first ids from their index only if they are all that it is asked for.
 */
export async function oldestOf(db: Database, now: number): Promise<number | null> {
  const [row] = await db.rows<{ living: number | string | null; expired: number | string | null }>(
    `SELECT MIN(CASE WHEN expires_at IS NULL OR expires_at > ? THEN NULLIF(published_at, 0) END) AS living, MIN(NULLIF(published_at, 0)) AS expired
     FROM (SELECT ${PUBLISHED_AT}, expires_at FROM (SELECT msgid FROM mqtt_msg ORDER BY msgid LIMIT ${OLDEST_COMPARED}) AS first_ids
           STRAIGHT_JOIN mqtt_msg ON mqtt_msg.msgid = first_ids.msgid) AS first_ones`,
    [now],
  );
  const at = row?.living ?? row?.expired ?? null;
  return at === null ? null : Number(at);
}
