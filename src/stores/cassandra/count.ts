import type { types } from 'cassandra-driver';
import type { Database } from './database';

const EXACT = 50_000;
const PER_PAGE = 5_000;

/**
 * Counts up to EXACT rows, and estimates above. Ids are spread evenly over the ring of tokens, so the part of the ring
 * that the rows fill tells their number, to about half a percent.
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

/** Tokens range from -2^63 to 2^63 - 1. */
function shareOfRing(token: types.Long): number {
  return (Number(token.toString()) + 2 ** 63) / 2 ** 64;
}
