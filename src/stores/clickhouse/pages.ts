import type { Client } from './client';
import { number, text } from './literal';

/** Rows that are sorted by one column if the conditions of `where` are met. */
export interface Range {
  readonly table: 'mqtt_msg' | 'mqtt_retain' | 'mqtt_acked';
  readonly where: string;
  readonly column: 'msgid' | 'topic';
}

/** Each step at least halves the rest, and a table does not have that many parts with rows of one topic. */
const MOST_STEPS = 20;
const BLOCK = 512;

/** The condition for one page: greater than `after`, up to `last`. */
export function between({ where, column }: Range, after: string, last: string | null): string {
  return `${where} AND ${column} > ${text(after)}${last === null ? '' : ` AND ${column} <= ${text(last)}`}`;
}

/**
 * The end of a page of at least `size` rows after `after`; null if it ends with the range. Old servers read everything
 * for ORDER BY with LIMIT. Without an order they stop at the limit, but take rows from any part of the table. The
 * `size`th of these rows is a possible end, perhaps with too many rows before it. So the end is moved to the front
 * until at most a few pages are before it.
 */
export async function endOfPage(db: Client, range: Range, after: string, size: number, last: string | null = null): Promise<string | null> {
  const most = 4 * size;
  let end = last;
  for (let step = 0; step < MOST_STEPS; step++) {
    const [row] = await db.rows<{ n: number; end: string }>(
      `SELECT count() AS n, arrayElement(arraySort(groupArray(${range.column})), ${number(size)}) AS end
       FROM (SELECT ${range.column} FROM ${range.table} WHERE ${between(range, after, end)} LIMIT ${number(most)})`,
      { max_threads: 1, max_block_size: BLOCK },
    );
    if (row === undefined || row.n < most || row.end === end) break;
    end = row.end;
  }
  return end;
}
