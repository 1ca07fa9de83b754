import { MOST_COUNTED, OLDEST_COMPARED, type TopicCount } from '../store';
import type { Database } from './database';
import { PUBLISHED_AT } from './rows';
import { besideKey, ID, KEY, keyOf } from './topic-index';

/** The range and the order keep the planner in the index of topics and ids. */
const OF_TOPIC = `(${KEY}, ${ID}) > (asked.key, '') AND ${KEY} <= asked.key AND (asked.exact IS NULL OR topic = asked.exact)`;

/** One statement for some topics. PostgreSQL cannot count in this index alone, so it reads a row for each message that it counts. */
const COUNTS = `
  SELECT asked.place::int, counted.n, oldest.published_at FROM unnest(:keys::text[], :exacts::text[]) WITH ORDINALITY AS asked(key, exact, place)
  CROSS JOIN LATERAL (SELECT count(*) AS n FROM (
    SELECT 1 FROM mqtt_msg WHERE ${OF_TOPIC} ORDER BY ${KEY}, ${ID} LIMIT ${MOST_COUNTED}) AS counted_rows) AS counted
  LEFT JOIN LATERAL (
    SELECT ${PUBLISHED_AT} FROM mqtt_msg WHERE ${OF_TOPIC} AND (expires_at IS NULL OR expires_at > :now)
    ORDER BY ${KEY}, ${ID} LIMIT 1) AS oldest ON true`;

const OLDEST = `
  SELECT min(NULLIF(published_at, 0)) FILTER (WHERE expires_at IS NULL OR expires_at > :now) AS living, min(NULLIF(published_at, 0)) AS expired
  FROM (SELECT ${PUBLISHED_AT}, expires_at FROM mqtt_msg ORDER BY ${ID} LIMIT ${OLDEST_COMPARED}) AS first`;

/**
 * PostgreSQL estimates that more topics in one statement would be very much work, and compiles the statement first (JIT). That took 100 ms
 * for 256 topics, and 64 topics took 7 ms.
 */
const TOPICS_AT_ONCE = 64;

export async function countsOf(db: Database, topics: readonly string[], now: number): Promise<ReadonlyMap<string, TopicCount>> {
  const counts = new Map<string, TopicCount>();
  for (let i = 0; i < topics.length; i += TOPICS_AT_ONCE) {
    for (const [topic, count] of await countSome(db, topics.slice(i, i + TOPICS_AT_ONCE), now)) counts.set(topic, count);
  }
  return counts;
}

async function countSome(db: Database, topics: readonly string[], now: number): Promise<ReadonlyMap<string, TopicCount>> {
  const bindings = { now, keys: topics.map(keyOf), exacts: topics.map((topic) => (besideKey(topic) === '' ? null : topic)) };
  const rows = await db.rows<{ place: number; n: string; published_at: string | null }>(COUNTS, bindings);
  const counts = new Map(topics.map((topic): [string, TopicCount] => [topic, { messages: 0, oldestAt: null }]));
  for (const { place, n, published_at: at } of rows) {
    counts.set(topics[place - 1] ?? '', { messages: Number(n), oldestAt: at === null ? null : Number(at) });
  }
  return counts;
}

/** If all of the first messages have expired and are not purged yet, the answer is the time of the oldest of these. No message is older. */
export async function oldestOf(db: Database, now: number): Promise<number | null> {
  const [row] = await db.rows<{ living: string | null; expired: string | null }>(OLDEST, { now });
  const at = row?.living ?? row?.expired ?? null;
  return at === null ? null : Number(at);
}
