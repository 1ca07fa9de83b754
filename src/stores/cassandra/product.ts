import { RefusedError } from '../../base/errors';
import type { Database } from './database';

/** The first version with `ALTER TABLE ... ADD IF NOT EXISTS`, which lets an interrupted migration be repeated. */
const OLDEST = [4, 1] as const;
const NEEDED = `Cassandra ${OLDEST.join('.')} or newer`;

/**
 * Why this database can't be used; null if all nodes can. ScyllaDB reports the Cassandra version that it resembles, and
 * is recognized by a table of its own.
 */
export async function productProblem(db: Database): Promise<string | null> {
  const own = await db.rows("SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'system' AND table_name = 'scylla_local'");
  if (own.length > 0) return `this is ScyllaDB: the store needs ${NEEDED}; use that, or another database for STORE_URL`;
  // While a cluster is upgraded, some nodes are older than others.
  const nodes = await Promise.all(
    ['local', 'peers'].map((table) => db.rows<{ release_version: string | null }>(`SELECT release_version FROM system.${table}`)),
  );
  const old = nodes.flat().find(({ release_version }) => release_version !== null && isTooOld(release_version));
  return old === undefined
    ? null
    : `this is Cassandra ${old.release_version}: the store needs ${NEEDED} on all nodes; upgrade it, or use another database for STORE_URL`;
}

/**
 * Called before anything is changed.
 * @throws RefusedError
 */
export async function refuseProduct(db: Database): Promise<void> {
  const problem = await productProblem(db);
  if (problem !== null) throw new RefusedError(`${problem}; nothing was changed`);
}

/** Examples: `4.1-SNAPSHOT`, `5.0.5`, `4.0.11.0`. A version that is not a number counts as new. */
function isTooOld(release: string): boolean {
  const [major = NaN, minor = NaN] = release.split(/[.-]/).map(Number);
  return major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1]);
}
