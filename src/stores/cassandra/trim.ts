import type { types } from 'cassandra-driver';
import type { Database } from './database';
import { fitsKey, toNumber } from './rows';

const IDS_PER_PAGE = 5_000;
const INT_MAX = 2 ** 31 - 1;

/**
 * Reads the ids of the `keep` newest messages to find the first one to remove, and then deletes whole ranges, with one
 * deletion marker each. A message that arrives at the same time with an id in such a range is one of the oldest, too,
 * and goes with them.
 */
export async function trimTopic(db: Database, topic: string, keep: number): Promise<number> {
  const newest = await firstTooMany(db, topic, keep);
  if (newest === null) return 0;
  let removed = 0;
  for (let rows = await oldest(db, topic, newest); rows.length > 0; rows = await oldest(db, topic, newest)) {
    // The timestamp is later than all of the rows', whatever the writers' clocks said. Otherwise rows that stay would
    // be found again and again.
    const timestamp = rows.reduce((latest, { at }) => Math.max(latest, toNumber(at) ?? 0), db.timestamp());
    await db.write('DELETE FROM mqtt_msg WHERE topic = ? AND msgid <= ?', [topic, rows.at(-1)!.msgid], timestamp);
    removed += rows.length;
  }
  return removed;
}

async function firstTooMany(db: Database, topic: string, keep: number): Promise<string | null> {
  if (!fitsKey(topic)) return null;
  const cql = 'SELECT msgid FROM mqtt_msg WHERE topic = ? ORDER BY msgid DESC LIMIT ?';
  let read = 0;
  for await (const rows of db.pages<{ msgid: string }>(cql, [topic, Math.min(keep, INT_MAX - 1) + 1], IDS_PER_PAGE)) {
    read += rows.length;
    if (read > keep) return rows.at(-1)?.msgid ?? null;
  }
  return null;
}

function oldest(db: Database, topic: string, newest: string): Promise<{ msgid: string; at: types.Long | null }[]> {
  return db.rows('SELECT msgid, writetime(published_at) AS at FROM mqtt_msg WHERE topic = ? AND msgid <= ? ORDER BY msgid ASC LIMIT ?', [
    topic,
    newest,
    IDS_PER_PAGE,
  ]);
}
