import { RefusedError } from '../../base/errors';
import type { Database } from './database';

/** The first with `ALTER TABLE ... ADD IF NOT EXISTS`, by which a migration that broke off can be repeated. */
const OLDEST = [4, 1] as const;
const NEEDED = `Cassandra ${OLDEST.join('.')} or newer`;

/** ScyllaDB names the Cassandra version that it resembles, and has a table of its own that tells. @returns null: all nodes can do what we need. */
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

/** Before anything is changed. @throws RefusedError */
export async function refuseProduct(db: Database): Promise<void> {
  const problem = await productProblem(db);
  if (problem !== null) throw new RefusedError(`${problem}; nothing was changed`);
}

/** `4.1-SNAPSHOT`, `5.0.5`, `4.0.11.0`. What is no number is taken for new. */
function isTooOld(release: string): boolean {
  const [major = NaN, minor = NaN] = release.split(/[.-]/).map(Number);
  return major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1]);
}
