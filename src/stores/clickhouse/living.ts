import { COVERED, NEVER } from './keys';
import { number } from './literal';

/** What names the row of mqtt_msg that counts for a message. */
export interface LivingRow {
  readonly topic: string;
  readonly id: string;
  /** In microseconds. */
  readonly storedAt: number;
  /** When the last row of the message was stored (microseconds): it was saved more than once if this is later. */
  readonly lastStoredAt: number;
  /** In ms. */
  readonly publishReceivedAt: number;
}

/**
 * The messages that are stored and have not expired at `now`: for each the row that counts, which is the first one that
 * is not removed. `where` uses only topic and msgid. mqtt_msg is read before mqtt_removed, so that a row and its later
 * removal are never seen without the removal.
 */
export const living = (where: string, now: number): string =>
  `SELECT topic, msgid AS id, tupleElement(first, 1) AS storedAt, lastStoredAt, tupleElement(first, 3) AS publishReceivedAt FROM (
     SELECT topic, msgid, lastStoredAt, covered, arrayElement(arraySort(arrayFilter(each -> tupleElement(each, 1) > covered, rows)), 1) AS first FROM (
       SELECT topic, msgid, groupArray((s, e, p)) AS rows, max(s) AS lastStoredAt, max(c) AS covered FROM (
         SELECT topic, msgid, stored_at AS s, if(expires_ms = 0, ${NEVER}, expires_ms) AS e, published_ms AS p, toUInt64(0) AS c
           FROM mqtt_msg WHERE ${where}
         UNION ALL SELECT topic, msgid, toUInt64(0) AS s, toInt64(0) AS e, toInt64(0) AS p, ${COVERED} AS c FROM mqtt_removed
           WHERE ${where} AND (topic, msgid) IN (SELECT topic, msgid FROM mqtt_msg WHERE ${where})
       ) GROUP BY topic, msgid
     )
   ) WHERE storedAt > covered AND tupleElement(first, 2) > ${number(now)}`;
