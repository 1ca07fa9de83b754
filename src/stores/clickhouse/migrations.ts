import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { RefusedError } from '../../errors';
import type { Client } from './client';
import { underLock } from './lock';
import { refuseStrangers } from './takeover';

const MIGRATIONS = join(__dirname, '../../../migrations/clickhouse');

interface Statement {
  /** Runs only where this query counts something. */
  readonly when: string | null;
  readonly sql: string;
}

/** The plain SQL files of a folder, NNN_name.sql from 001 without a gap; the table mqtt_offline_migration has those that were run. */
export class Migrations {
  private readonly files: readonly string[];

  constructor(private readonly db: Client) {
    this.files = readdirSync(MIGRATIONS)
      .filter((name) => /^\d{3}_.*\.sql$/.test(name))
      .sort();
  }

  /** Brings the schema up to date. A step that broke off runs again from its beginning: each of its statements may. */
  async run(): Promise<void> {
    // Most starts have nothing to do, and then need neither the lock nor the right to create tables.
    if ((await this.version()) === this.files.length) return;
    await this.refuse();
    await underLock(this.db, async (isOurs) => {
      await this.refuse();
      const current = await this.version();
      for (const name of this.files.slice(current)) await this.step(name, isOurs);
    });
  }

  private async step(name: string, isOurs: () => Promise<void>): Promise<void> {
    for (const { when, sql } of statementsOf(readFileSync(join(MIGRATIONS, name), 'utf8'))) {
      await isOurs();
      if (when === null || (await this.db.count(when)) > 0) await this.db.command(sql);
    }
    await this.db.command(
      'CREATE TABLE IF NOT EXISTS mqtt_offline_migration (version UInt32, name String, applied_at DateTime DEFAULT now()) ENGINE = MergeTree ORDER BY version',
    );
    await this.db.insert('mqtt_offline_migration', [{ version: Number(name.slice(0, 3)), name }]);
  }

  /** Before anything is changed. @throws RefusedError */
  private async refuse(): Promise<void> {
    const current = await this.version();
    if (current > this.files.length) throw new RefusedError(this.problem(current) ?? '');
    if (current === 0) await refuseStrangers(this.db);
  }

  /** The newest version that was run; 0 for a database without our tables. */
  async version(): Promise<number> {
    const there = await this.db.count(`SELECT count() AS n FROM system.tables WHERE database = currentDatabase() AND name = 'mqtt_offline_migration'`);
    return there === 0 ? 0 : this.db.count('SELECT max(version) AS version FROM mqtt_offline_migration');
  }

  /** What is wrong with a schema of this version; null: nothing. */
  problem(version: number): string | null {
    if (version > this.files.length) return `the schema has version ${version}, this release knows ${this.files.length}: upgrade emqx-offline-store`;
    if (version < this.files.length) return `the schema has version ${version} of ${this.files.length}: run "emqx-offline-store migrate"`;
    return null;
  }
}

/** A statement ends with a semicolon at the end of a line. Comments stay with the statement that they stand above. */
export function statementsOf(file: string): Statement[] {
  return file
    .split(/;[ \t]*(?:\n|$)/)
    .filter((sql) => sql.replace(/--.*/g, '').trim() !== '')
    .map((sql) => ({ when: /^-- when: (.*)$/m.exec(sql)?.[1] ?? null, sql: sql.replace(/^\s*--.*$/gm, '').trim() }));
}
