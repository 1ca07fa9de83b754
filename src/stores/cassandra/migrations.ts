import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { RefusedError, RetryableError } from '../../errors';
import type { Database } from './database';
import { checkTables } from './expected-tables';
import { TAKEOVERS } from './takeover';

export const MIGRATIONS = join(__dirname, '../../../migrations/cassandra');

const TABLE = 'mqtt_offline_migration';
/** The row that stands for "somebody migrates". */
const LOCK = 0;
/** A process that died holds it no longer than this. */
const LOCK_TTL_S = 60;
const LOOK_AGAIN_MS = 250;

/** The plain CQL files of a folder, NNN_name.cql from 001 without a gap; the table mqtt_offline_migration has those that were run. */
export class Migrations {
  private readonly files: readonly string[];
  private readonly owner = randomUUID();

  constructor(
    private readonly db: Database,
    private readonly directory: string,
  ) {
    this.files = readdirSync(directory)
      .filter((name) => /^\d{3}_.*\.cql$/.test(name))
      .sort();
  }

  /** What cannot be taken over is refused before anything is changed; a step that broke off is done again from its start. */
  async run(): Promise<void> {
    // Most starts have nothing to do, and then need neither the lock nor the right to create tables.
    if ((await this.version()) === this.files.length) return;
    await checkTables(this.db);
    await this.db.define(`CREATE TABLE IF NOT EXISTS ${TABLE} (version int PRIMARY KEY, name text, applied_at timestamp)`);
    if (!(await this.lock())) return;
    try {
      const current = await this.version();
      if (current > this.files.length) throw new RefusedError(this.problem(current) ?? '');
      for (const name of this.files.slice(current)) await this.step(name);
    } finally {
      await this.db.conditionally(`DELETE FROM ${TABLE} WHERE version = ? IF name = ?`, [LOCK, this.owner]);
    }
  }

  private async step(name: string): Promise<void> {
    for (const statement of statementsOf(readFileSync(join(this.directory, name), 'utf8'))) {
      await this.holdOn();
      await this.db.define(statement);
    }
    const version = Number(name.slice(0, 3));
    await TAKEOVERS[version]?.(this.db, () => this.holdOn());
    await this.db.write(`INSERT INTO ${TABLE} (version, name, applied_at) VALUES (?, ?, ?)`, [version, name, new Date()]);
  }

  /** Tables that are created on two nodes at once may come out as two. @returns false: another process has done it meanwhile. */
  private async lock(): Promise<boolean> {
    for (;;) {
      const held = await this.db.conditionally(
        `INSERT INTO ${TABLE} (version, name) VALUES (?, ?) IF NOT EXISTS USING TTL ${LOCK_TTL_S}`,
        [LOCK, this.owner],
      );
      if (held === null) return true;
      await sleep(LOOK_AGAIN_MS);
      if ((await this.version()) === this.files.length) return false;
    }
  }

  private async holdOn(): Promise<void> {
    const lost = await this.db.conditionally(`UPDATE ${TABLE} USING TTL ${LOCK_TTL_S} SET name = ? WHERE version = ? IF name = ?`, [this.owner, LOCK, this.owner]);
    if (lost !== null) throw new RetryableError('another process migrates: run "emqx-offline-store migrate" again');
  }

  /** The newest version that was run; 0 for a keyspace without our tables. */
  async version(): Promise<number> {
    const tables = await this.db.rows('SELECT table_name FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?', [this.db.keyspace, TABLE]);
    if (tables.length === 0) return 0;
    const rows = await this.db.rows<{ version: number }>(`SELECT version FROM ${TABLE}`);
    return Math.max(0, ...rows.map(({ version }) => version));
  }

  /** What is wrong with a schema of this version; null: nothing. */
  problem(version: number): string | null {
    if (version > this.files.length) return `the schema has version ${version}, this release knows ${this.files.length}: upgrade emqx-offline-store`;
    if (version < this.files.length) return `the schema has version ${version} of ${this.files.length}: run "emqx-offline-store migrate"`;
    return null;
  }
}

/** Each ends with a semicolon at the end of a line, before or behind which no comment stands. */
function statementsOf(file: string): string[] {
  return file
    .split('\n')
    .filter((line) => !line.trimStart().startsWith('--'))
    .join('\n')
    .split(/;\s*$/m)
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '');
}
