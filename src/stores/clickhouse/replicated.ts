import { RefusedError } from '../../base/errors';
import type { Client } from './client';

/** Tables and databases whose rows several servers hold. ClickHouse Cloud makes the Shared ones of what asks for MergeTree. */
const SEVERAL = /^(Shared|Replicated)/;

/**
 * Refuses ClickHouse Cloud and replicated databases, before anything is changed. `select_sequential_consistency` would let a read see the last
 * write there. Which of two removals came first would still be unknown: that is read from the numbers of MergeTree's parts, which are given
 * in the order of commits on a single server only. @throws RefusedError
 */
export async function refuseReplicas(db: Client): Promise<void> {
  const kind = await replicatedKind(db);
  if (kind === null) return;
  throw new RefusedError(
    `${kind}: the store needs one ClickHouse server with plain MergeTree tables, because a replica may not know the last write; use such a server, or another database for STORE_URL; nothing was changed`,
  );
}

async function replicatedKind(db: Client): Promise<string | null> {
  const [cloud] = await db.rows<{ value: string }>(`SELECT value FROM system.settings WHERE name = 'cloud_mode'`);
  if (cloud !== undefined && cloud.value !== '0') return 'this is ClickHouse Cloud';
  const [database] = await db.rows<{ engine: string }>('SELECT engine FROM system.databases WHERE name = currentDatabase()');
  if (database !== undefined && SEVERAL.test(database.engine)) return `the database is of the kind ${database.engine}`;
  const tables = await db.rows<{ name: string; engine: string }>(
    `SELECT name, engine FROM system.tables WHERE database = currentDatabase() AND name LIKE 'mqtt%'`,
  );
  const table = tables.find(({ engine }) => SEVERAL.test(engine));
  return table === undefined ? null : `${table.name} is a table of the kind ${table.engine}`;
}
