import type { types } from 'cassandra-driver';
import { MOST_COUNTED } from '../store';
import type { Database } from './database';
import { Limiter } from './limiter';
import { fitsKey } from './rows';

const EXACT = 50_000;
const PER_PAGE = 5_000;
/** A node reads a topic's rows, payloads included, in order to answer their ids. */
const TOPICS_AT_ONCE = 8;

/**
 * Ids are spread evenly over the ring of tokens: beyond EXACT rows, the part of the ring that they fill says how many there are, to about
 * half a percent.
 */
export async function countRows(db: Database): Promise<number> {
  let read = 0;
  for await (const rows of db.pages<{ position: types.Long }>('SELECT token(msgid) AS position FROM mqtt_msg_id', [], PER_PAGE)) {
    read += rows.length;
    const last = rows.at(-1);
    if (read >= EXACT && last !== undefined) return Math.round(read / shareOfRing(last.position));
  }
  return read;
}

/** Tokens go from -2^63 to 2^63 - 1. */
function shareOfRing(token: types.Long): number {
  return (Number(token.toString()) + 2 ** 63) / 2 ** 64;
}

/** Cassandra counts by reading: at most MOST_COUNTED rows of a topic, of which the ids alone are answered. */
export async function countTopics(db: Database, topics: readonly string[]): Promise<number[]> {
  const limiter = new Limiter(TOPICS_AT_ONCE);
  return Promise.all(topics.map((topic) => limiter.run(() => countTopic(db, topic))));
}

async function countTopic(db: Database, topic: string): Promise<number> {
  let read = 0;
  if (!fitsKey(topic)) return read;
  for await (const rows of db.pages('SELECT msgid FROM mqtt_msg WHERE topic = ? LIMIT ?', [topic, MOST_COUNTED], PER_PAGE))
    read += rows.length;
  return read;
}
