import { RefusedError } from '../../base/errors';
import { MigrationFiles } from '../shared/migration-files';
import type { Database } from './database';
import { mapMigrationError } from './errors';

/** An arbitrary number. Two servers that start at once take turns. */
const LOCK = 7_261_845;

/** Runs plain SQL files. A table notes which were run. */
export class Migrations {
  private readonly files: MigrationFiles;

  constructor(
    private readonly db: Database,
    folder: string,
    /** Each folder has its own table, because a store and a history may share a database. */
    private readonly table = 'mqtt_offline_migration',
  ) {
    this.files = new MigrationFiles(folder);
  }

  /**
   * Brings the schema up to date, with all steps in one transaction: a database that can't be taken over stays
   * unchanged.
   */
  async run(): Promise<void> {
    // Most starts have nothing to do, and then need neither the lock nor the right to create tables.
    if ((await this.version()) === this.files.newest) return;
    await this.db.transaction(async (run) => {
      const step = (name: string, sql: string) =>
        run(sql).catch((error: unknown) => {
          throw mapMigrationError(error, name);
        });
      await run(`SELECT pg_advisory_xact_lock(${LOCK})`);
      await run(
        `CREATE TABLE IF NOT EXISTS ${this.table} (version integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz DEFAULT now())`,
      );
      const { rows } = await run(`SELECT coalesce(max(version), 0) AS version FROM ${this.table}`);
      const current = Number(rows[0]?.['version'] ?? 0);
      if (current > this.files.newest) throw new RefusedError(this.problem(current) ?? '');
      for (const { version, name, text } of this.files.all.slice(current)) {
        await step(name, text);
        await run(`INSERT INTO ${this.table} (version, name) VALUES (${version}, '${name}')`);
      }
    });
  }

  /** The newest version that was run; 0 for a database without the server's tables. */
  async version(): Promise<number> {
    const [table] = await this.db.rows<{ there: boolean }>(`SELECT to_regclass('${this.table}') IS NOT NULL AS there`);
    if (table?.there !== true) return 0;
    const [row] = await this.db.rows<{ version: number }>(`SELECT coalesce(max(version), 0) AS version FROM ${this.table}`);
    return row?.version ?? 0;
  }

  problem(version: number): string | null {
    return this.files.problem(version);
  }
}
