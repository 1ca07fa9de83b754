import { setTimeout as sleep } from 'node:timers/promises';
import { RefusedError } from '../../base/errors';
import { MigrationFiles, type MigrationFile } from '../shared/migration-files';
import { TakeoverProgress } from '../shared/takeover-progress';
import type { MigrationPlan, OnMigration, TakeoverCount } from '../../base/migration';
import type { Client } from './client';
import { underLock } from './lock';
import { refuseReplicas } from './replicated';
import { refuseStrangers } from './takeover';

const POLL_MS = 200;

interface Statement {
  /** A query; the statement runs only if the query counts something. null: it always runs. */
  readonly when: string | null;
  readonly sql: string;
  /** A query; the statement has ended when the query counts nothing any more. null: it ends when it is answered. */
  readonly during: string | null;
}

/** Runs plain SQL files. The table mqtt_offline_migration notes which were run. */
export class Migrations {
  private readonly files = new MigrationFiles('clickhouse');

  constructor(private readonly db: Client) {}

  /**
   * Brings the schema up to date. An interrupted step runs again from its beginning, which all its statements allow.
   */
  async run(onProgress?: OnMigration): Promise<void> {
    // Checked at each start, because an earlier release may have filled such a database.
    await refuseReplicas(this.db);
    // Most starts have nothing to do, and then need neither the lock nor the right to create tables.
    if ((await this.version()) === this.files.newest) return;
    await this.refuse();
    await underLock(this.db, async (isOurs) => {
      await this.refuse();
      const current = await this.version();
      const progress = new TakeoverProgress(current === 0 && onProgress !== undefined ? await this.takeover() : [], onProgress);
      for (const file of this.files.all.slice(current)) {
        progress.begin(file.name);
        await this.step(file, isOurs);
        progress.finish(file.version);
      }
    });
  }

  private async step({ version, name, text }: MigrationFile, isOurs: () => Promise<void>): Promise<void> {
    for (const { when, sql, during } of statementsOf(text)) {
      await isOurs();
      if (when === null || (await this.db.count(when)) > 0) await this.db.command(sql);
      // The statement of an interrupted run may be under way, so this waits for a statement that is left out, too.
      for (; during !== null && (await this.db.count(during)) > 0; await sleep(POLL_MS)) await isOurs();
    }
    await this.db.command(
      'CREATE TABLE IF NOT EXISTS mqtt_offline_migration (version UInt32, name String, applied_at DateTime DEFAULT now()) ENGINE = MergeTree ORDER BY version',
    );
    await this.db.insert('mqtt_offline_migration', [{ version, name }]);
  }

  /** What run() would do now. */
  async plan(): Promise<MigrationPlan> {
    await refuseReplicas(this.db);
    await this.refuse();
    const version = await this.version();
    return { pending: this.files.pending(version), takeover: version === 0 ? await this.takeover() : [] };
  }

  /** The rows of EMQX's own table. */
  private async takeover(): Promise<TakeoverCount[]> {
    const there = await this.db.count(`SELECT count() AS n FROM system.tables WHERE database = currentDatabase() AND name = 'mqtt_msg'`);
    return there === 0 ? [] : [{ table: 'mqtt_msg', rows: await this.db.count('SELECT count() AS n FROM mqtt_msg') }];
  }

  /**
   * Called before anything is changed.
   * @throws RefusedError
   */
  private async refuse(): Promise<void> {
    const current = await this.version();
    if (current > this.files.newest) throw new RefusedError(this.problem(current) ?? '');
    if (current === 0) await refuseStrangers(this.db);
  }

  /** The newest version that was run; 0 for a database without the server's tables. */
  async version(): Promise<number> {
    const there = await this.db.count(
      `SELECT count() AS n FROM system.tables WHERE database = currentDatabase() AND name = 'mqtt_offline_migration'`,
    );
    return there === 0 ? 0 : this.db.count('SELECT max(version) AS version FROM mqtt_offline_migration');
  }

  problem(version: number): string | null {
    return this.files.problem(version);
  }
}

/** A statement ends with a semicolon at the end of a line. Comments belong to the statement below them. */
export function statementsOf(file: string): Statement[] {
  return file
    .split(/;[ \t]*(?:\n|$)/)
    .filter((sql) => sql.replace(/--.*/g, '').trim() !== '')
    .map((sql) => ({
      when: /^-- when: (.*)$/m.exec(sql)?.[1] ?? null,
      sql: sql.replace(/^\s*--.*$/gm, '').trim(),
      during: /^-- while: (.*)$/m.exec(sql)?.[1] ?? null,
    }));
}
