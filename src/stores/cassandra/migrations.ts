import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { RefusedError, RetryableError } from '../../base/errors';
import { MigrationFiles, type MigrationFile } from '../shared/migration-files';
import { TakeoverProgress } from '../shared/takeover-progress';
import type { MigrationPlan, OnMigration } from '../../base/migration';
import type { Database } from './database';
import { isMissingTable } from './errors';
import { checkTables } from './expected-tables';
import { refuseProduct } from './product';
import { takeoverCounts, TAKEOVERS } from './takeover';

const TABLE = 'mqtt_offline_migration';
/** The row that shows that a process is migrating. */
const LOCK = 0;
/** A process that died holds the lock no longer than this (s). */
const LOCK_TTL_S = 60;
const LOOK_AGAIN_MS = 250;

/** Runs plain CQL files. The table mqtt_offline_migration notes which were run. */
export class Migrations {
  private readonly files = new MigrationFiles('cassandra');
  private readonly owner = randomUUID();

  constructor(private readonly db: Database) {}

  /**
   * A database that can't be taken over is rejected before anything is changed. An interrupted step is repeated from
   * its start.
   */
  async run(onProgress?: OnMigration): Promise<void> {
    // Most starts have nothing to do, and then need neither the lock nor the right to create tables.
    if ((await this.version()) === this.files.newest) return;
    await refuseProduct(this.db);
    await checkTables(this.db);
    await this.db.define(`CREATE TABLE IF NOT EXISTS ${TABLE} (version int PRIMARY KEY, name text, applied_at timestamp)`);
    if (!(await this.lock())) return;
    try {
      const current = await this.version();
      if (current > this.files.newest) throw new RefusedError(this.problem(current) ?? '');
      const progress = new TakeoverProgress(current === 0 && onProgress !== undefined ? await takeoverCounts(this.db) : [], onProgress);
      for (const file of this.files.all.slice(current)) await this.step(file, progress, current);
    } finally {
      await this.db.conditionally(`DELETE FROM ${TABLE} WHERE version = ? IF name = ?`, [LOCK, this.owner]);
    }
  }

  /** What run() would do now. */
  async plan(): Promise<MigrationPlan> {
    const version = await this.version();
    if (version > this.files.newest) throw new RefusedError(this.problem(version) ?? '');
    if (version < this.files.newest) {
      await refuseProduct(this.db);
      await checkTables(this.db);
    }
    return { pending: this.files.pending(version), takeover: version === 0 ? await takeoverCounts(this.db) : [] };
  }

  private async step({ version, name, text }: MigrationFile, progress: TakeoverProgress, from: number): Promise<void> {
    progress.begin(name);
    for (const statement of statementsOf(text)) {
      await this.holdOn();
      await this.db.define(statement);
    }
    const holdOn = async (rows: number): Promise<void> => {
      progress.add(rows);
      await this.holdOn();
    };
    await TAKEOVERS[version]?.(this.db, holdOn, from);
    await this.db.write(`INSERT INTO ${TABLE} (version, name, applied_at) VALUES (?, ?, ?)`, [version, name, new Date()]);
  }

  /**
   * The lock is needed because a table that is created on two nodes at once may become two tables.
   * @returns false if another process has migrated meanwhile.
   */
  private async lock(): Promise<boolean> {
    for (;;) {
      const held = await this.db.conditionally(`INSERT INTO ${TABLE} (version, name) VALUES (?, ?) IF NOT EXISTS USING TTL ${LOCK_TTL_S}`, [
        LOCK,
        this.owner,
      ]);
      if (held === null) return true;
      await sleep(LOOK_AGAIN_MS);
      if ((await this.version()) === this.files.newest) return false;
    }
  }

  private async holdOn(): Promise<void> {
    const lost = await this.db.conditionally(`UPDATE ${TABLE} USING TTL ${LOCK_TTL_S} SET name = ? WHERE version = ? IF name = ?`, [
      this.owner,
      LOCK,
      this.owner,
    ]);
    if (lost !== null) throw new RetryableError('another process migrates: run "emqx-offline-store migrate" again');
  }

  /** The newest version that was run; 0 for a keyspace without the server's tables. */
  async version(): Promise<number> {
    const tables = await this.db.rows('SELECT table_name FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?', [
      this.db.keyspace,
      TABLE,
    ]);
    if (tables.length === 0) return 0;
    const rows = await this.db.rows<{ version: number }>(`SELECT version FROM ${TABLE}`).catch((error: unknown) => {
      // Another process is creating the table: its name is in the schema a moment before the table exists.
      if (isMissingTable(error)) return [];
      throw error;
    });
    return Math.max(0, ...rows.map(({ version }) => version));
  }

  problem(version: number): string | null {
    return this.files.problem(version);
  }
}

/** Each statement ends with a semicolon at the end of a line, without a comment on that line. */
function statementsOf(file: string): string[] {
  return file
    .split('\n')
    .filter((line) => !line.trimStart().startsWith('--'))
    .join('\n')
    .split(/;\s*$/m)
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '');
}
