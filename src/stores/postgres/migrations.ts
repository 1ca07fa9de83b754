import { RefusedError } from '../../base/errors';
import { MigrationFiles } from '../shared/migration-files';
import { EMQX_TABLES, TakeoverProgress } from '../shared/takeover-progress';
import type { MigrationPlan, OnMigration, TakeoverCount } from '../../base/migration';
import type { Database, Run } from './database';
import { mapMigrationError } from './errors';

const STORE_TABLE = 'mqtt_offline_migration';
/** An arbitrary number. Two servers that start at once take turns. */
const LOCK = 7_261_845;

/**
 * An operator's settings for the server's user are meant for short statements. A migration takes as long as the tables are large, or as
 * another server migrates them. After that wait it must see what the other server has done, which only this isolation level does.
 */
const OWN_SETTINGS = `SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
  SELECT set_config(name, '0', true) FROM pg_settings WHERE name IN ('statement_timeout', 'transaction_timeout')`;

/** Runs plain SQL files. A table notes which were run. */
export class Migrations {
  private readonly files: MigrationFiles;

  constructor(
    private readonly db: Database,
    folder: string,
    /** Each folder has its own table, because a store and a history may share a database. */
    private readonly table = STORE_TABLE,
  ) {
    this.files = new MigrationFiles(folder);
  }

  /**
   * Brings the schema up to date, with all steps in one transaction: a database that can't be taken over stays
   * unchanged.
   */
  async run(onProgress?: OnMigration): Promise<void> {
    // Most starts have nothing to do, and then need neither the lock nor the right to create tables.
    if ((await this.version()) === this.files.newest) return;
    await this.db.transaction(async (run) => {
      const step = (name: string, sql: string) =>
        run(sql).catch((error: unknown) => {
          throw mapMigrationError(error, name);
        });
      await run(OWN_SETTINGS);
      await run(`SELECT pg_advisory_xact_lock(${LOCK})`);
      // The table may be in any schema of search_path. IF NOT EXISTS looks only into the first one, but it does not overlook a table that
      // another server has made just now.
      if (!(await isThere(run, this.table)))
        await run(
          `CREATE TABLE IF NOT EXISTS ${this.table} (version integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz DEFAULT now())`,
        );
      const { rows } = await run(`SELECT coalesce(max(version), 0) AS version FROM ${this.table}`);
      const current = Number(rows[0]?.['version'] ?? 0);
      if (current > this.files.newest) throw new RefusedError(this.problem(current) ?? '');
      const progress = new TakeoverProgress(current === 0 && onProgress !== undefined ? await this.takeover(run) : [], onProgress);
      for (const { version, name, text } of this.files.all.slice(current)) {
        progress.begin(name);
        await step(name, text);
        progress.finish(version);
        await run(`INSERT INTO ${this.table} (version, name) VALUES (${version}, '${name}')`);
      }
    });
  }

  /** What run() would do now. */
  async plan(): Promise<MigrationPlan> {
    const version = await this.version();
    const problem = version > this.files.newest ? this.problem(version) : null;
    if (problem !== null) throw new RefusedError(problem);
    const takeover = version === 0 ? await this.db.transaction((run) => this.takeover(run)) : [];
    return { pending: this.files.pending(version), takeover };
  }

  /** The rows of EMQX's own tables; a history takes over nothing. */
  private async takeover(run: Run): Promise<TakeoverCount[]> {
    const counts: TakeoverCount[] = [];
    for (const table of this.takesOver ? EMQX_TABLES : []) {
      if (!(await isThere(run, table))) continue;
      const counted = await run(`SELECT count(*) AS n FROM ${table}`);
      counts.push({ table, rows: Number(counted.rows[0]?.['n'] ?? 0) });
    }
    return counts;
  }

  private get takesOver(): boolean {
    return this.table === STORE_TABLE;
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

async function isThere(run: Run, table: string): Promise<boolean> {
  const { rows } = await run(`SELECT to_regclass('${table}') IS NOT NULL AS there`);
  return rows[0]?.['there'] === true;
}
