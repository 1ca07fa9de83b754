import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { RefusedError } from '../../errors';
import type { Database } from './database';
import { mapMigrationError } from './errors';

export const MIGRATIONS = join(__dirname, '../../../migrations/postgres');
/** Any number: two servers that start at once take turns. */
const LOCK = 7_261_845;

/** The plain SQL files of a folder, NNN_name.sql from 001 without a gap; the table mqtt_offline_migration has those that were run. */
export class Migrations {
  private readonly files: readonly string[];

  constructor(
    private readonly db: Database,
    private readonly directory: string,
  ) {
    this.files = readdirSync(directory)
      .filter((name) => /^\d{3}_.*\.sql$/.test(name))
      .sort();
  }

  /** Brings the schema up to date, all steps in one transaction: a database that cannot be taken over stays as it was. */
  async run(): Promise<void> {
    // Most starts have nothing to do, and then need neither the lock nor the right to create tables.
    if ((await this.version()) === this.files.length) return;
    await this.db.transaction(async (run) => {
      const step = (name: string, sql: string) =>
        run(sql).catch((error: unknown) => {
          throw mapMigrationError(error, name);
        });
      await run(`SELECT pg_advisory_xact_lock(${LOCK})`);
      await run(`CREATE TABLE IF NOT EXISTS mqtt_offline_migration (version integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz DEFAULT now())`);
      const { rows } = await run('SELECT coalesce(max(version), 0) AS version FROM mqtt_offline_migration');
      const current = Number(rows[0]?.['version'] ?? 0);
      if (current > this.files.length) throw new RefusedError(this.problem(current) ?? '');
      for (const name of this.files.slice(current)) {
        await step(name, readFileSync(join(this.directory, name), 'utf8'));
        await run(`INSERT INTO mqtt_offline_migration (version, name) VALUES (${Number(name.slice(0, 3))}, '${name}')`);
      }
    });
  }

  /** The newest version that was run; 0 for a database without our tables. */
  async version(): Promise<number> {
    const [table] = await this.db.rows<{ there: boolean }>(`SELECT to_regclass('mqtt_offline_migration') IS NOT NULL AS there`);
    if (table?.there !== true) return 0;
    const [row] = await this.db.rows<{ version: number }>('SELECT coalesce(max(version), 0) AS version FROM mqtt_offline_migration');
    return row?.version ?? 0;
  }

  /** What is wrong with a schema of this version; null: nothing. */
  problem(version: number): string | null {
    if (version > this.files.length) return `the schema has version ${version}, this release knows ${this.files.length}: upgrade emqx-offline-store`;
    if (version < this.files.length) return `the schema has version ${version} of ${this.files.length}: run "emqx-offline-store migrate"`;
    return null;
  }
}
