import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { RefusedError } from '../../errors';
import type { Database } from './database';

const DIRECTORY = join(__dirname, '../../../migrations/postgres');
/** Any number: two servers that start at once take turns. */
const LOCK = 7_261_845;

/** Brings the schema up to date, all steps in one transaction: a database that cannot be taken over stays as it was. */
export async function migrate(db: Database): Promise<void> {
  const files = readdirSync(DIRECTORY)
    .filter((name) => /^\d{3}_.*\.sql$/.test(name))
    .sort();
  await db.transaction(async (run) => {
    await run(`SELECT pg_advisory_xact_lock(${LOCK})`);
    await run(`CREATE TABLE IF NOT EXISTS mqtt_offline_migration (version integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz DEFAULT now())`);
    const { rows } = await run('SELECT coalesce(max(version), 0) AS version FROM mqtt_offline_migration');
    const current = Number(rows[0]?.['version'] ?? 0);
    if (current > files.length) {
      throw new RefusedError(`the schema has version ${current}, this release knows ${files.length}: upgrade emqx-offline-store`);
    }
    for (const name of files.slice(current)) {
      await run(readFileSync(join(DIRECTORY, name), 'utf8'));
      await run(`INSERT INTO mqtt_offline_migration (version, name) VALUES (${Number(name.slice(0, 3))}, '${name}')`);
    }
  });
}

/** The newest version that is applied; throws when the table is not there. */
export async function schemaVersion(db: Database): Promise<number> {
  const [row] = await db.rows<{ version: number }>('SELECT coalesce(max(version), 0) AS version FROM mqtt_offline_migration');
  return row?.version ?? 0;
}
