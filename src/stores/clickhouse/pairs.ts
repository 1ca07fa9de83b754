import type { Purged } from '../store';
import type { Client, Row } from './client';
import { number, text } from './literal';

/** The keys of mqtt_sub and mqtt_acked. */
export interface Pair {
  readonly clientid: string;
  readonly topic: string;
}

/** A row that is due, and its `version`, a UInt64 that does not fit into a JavaScript number. */
export type Due = Pair & { readonly last: string };

export const NEWEST = 'ORDER BY clientid, topic, version DESC LIMIT 1 BY clientid, topic';
/** The most rows that one purge checks. */
export const MOST_DUE = 100_000;

export const pairs = (keys: readonly Pair[]): string => keys.map(({ clientid, topic }) => `(${text(clientid)}, ${text(topic)})`).join(', ');
export const pairKey = ({ clientid, topic }: Pair): string => JSON.stringify([clientid, topic]);
/** The bytes of a key in a statement. */
export const pairLength = ({ clientid, topic }: Pair): number => 2 * (clientid.length + topic.length);

/** The newest rows of keys with a due row. The newest row itself may not be due, and is checked again. */
export function unseen(db: Client, table: 'mqtt_sub' | 'mqtt_acked', due: string, limit: number): Promise<Due[]> {
  return db.rows(
    `SELECT clientid, topic, toString(version) AS last FROM (
       SELECT clientid, topic, version, deleted, seen_at FROM ${table}
       WHERE (clientid, topic) IN (SELECT clientid, topic FROM ${table} WHERE deleted = 0 AND ${due} LIMIT ${MOST_DUE}) ${NEWEST})
     WHERE deleted = 0 AND ${due} LIMIT ${number(limit)}`,
  );
}

/**
 * Deletes with the version after the one that was read, so that a row that is written meanwhile has a greater version
 * and stays.
 */
export async function end(db: Client, table: 'mqtt_sub' | 'mqtt_acked', due: readonly Due[], rest: Row, limit: number): Promise<Purged> {
  await db.insert(
    table,
    due.map(({ clientid, topic, last }) => ({ clientid, topic, ...rest, deleted: 1, version: String(BigInt(last) + 1n) })),
  );
  return { removed: due.length, more: due.length >= limit };
}
