import { RefusedError } from '../../base/errors';
import type { Client } from './client';

/**
 * Kinds of tables and databases whose rows are on several servers. ClickHouse Cloud makes Shared tables when MergeTree
 * is requested.
 */
const SEVERAL = /^(Shared|Replicated)/;

/**
 * Rejects ClickHouse Cloud and replicated databases before anything is changed. A read there may not see the last write, so an acknowledged
 * message could be sent again.
 * @throws RefusedError
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
