import type { Purged } from '../store';
import type { Database } from './database';

/**
 * Deletes rows whose client was not seen lately. A row that is still needed gets `seen` as its own seen_at, so that its
 * next check is postponed accordingly. A row that changes meanwhile stays.
 * @param seen SQL that tells when the row's client was last seen according to other rows.
 */
export async function purgeUnseen(
  db: Database,
  table: string,
  seen: string,
  bindings: { readonly before: number; readonly limit: number; readonly connected?: number },
): Promise<Purged> {
  const [counts] = await db.rows<{ looked: string; removed: string }>(
    `WITH due AS MATERIALIZED (SELECT ctid AS place, clientid${table === 'mqtt_client' ? ', state, changed_at' : ''} FROM ${table} WHERE seen_at <= :before ORDER BY seen_at LIMIT :limit),
       judged AS MATERIALIZED (SELECT place, ${seen} AS seen FROM due),
       kept AS (UPDATE ${table} SET seen_at = (SELECT seen FROM judged WHERE place = ${table}.ctid)
         WHERE ctid = ANY(ARRAY(SELECT place FROM judged WHERE seen > :before)) AND seen_at <= :before),
       gone AS (DELETE FROM ${table}
         WHERE ctid = ANY(ARRAY(SELECT place FROM judged WHERE seen IS NULL OR seen <= :before)) AND seen_at <= :before RETURNING 1)
     SELECT (SELECT count(*) FROM judged) AS looked, (SELECT count(*) FROM gone) AS removed`,
    { ...bindings, now: Date.now() },
  );
  return { removed: Number(counts?.removed ?? 0), more: Number(counts?.looked ?? 0) >= bindings.limit };
}
