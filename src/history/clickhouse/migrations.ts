import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { RefusedError } from '../../errors';
import type { Connection } from './connection';

const DIRECTORY = join(__dirname, '../../../migrations/clickhouse-history');
const TABLE = 'mqtt_history_migration';

/** The plain SQL files of migrations/clickhouse-history/, one statement each that may run again: ClickHouse has no transactions. */
export class Migrations {
  private readonly files = readdirSync(DIRECTORY)
    .filter((name) => /^\d{3}_.*\.sql$/.test(name))
    .sort();

  constructor(private readonly connection: Connection) {}

  async run(): Promise<void> {
    const current = await this.version();
    const problem = this.problem(current);
    if (problem === null) return;
    if (current > this.files.length) throw new RefusedError(problem);
    await this.connection.command(
      `CREATE TABLE IF NOT EXISTS ${TABLE} (version UInt32, name String, applied_at DateTime DEFAULT now()) ENGINE = MergeTree() ORDER BY version`,
    );
    for (const name of this.files.slice(current)) {
      await this.connection.command(readFileSync(join(DIRECTORY, name), 'utf8').replace(/;\s*$/, ''));
      await this.connection.insert(TABLE, [{ version: Number(name.slice(0, 3)), name }]);
    }
  }

  /** The newest version that was run; 0 for a database without our tables. */
  async version(): Promise<number> {
    const [table] = await this.connection.rows<{ there: number }>(`EXISTS TABLE ${TABLE}`);
    if (Number(Object.values(table ?? {})[0] ?? 0) === 0) return 0;
    const [row] = await this.connection.rows<{ version: number | string }>(`SELECT max(version) AS version FROM ${TABLE}`);
    return Number(row?.version ?? 0);
  }

  /** What is wrong with a schema of this version; null: nothing. */
  problem(version: number): string | null {
    if (version > this.files.length) return `the history has version ${version}, this release knows ${this.files.length}: upgrade emqx-offline-store`;
    if (version < this.files.length) return `the history has version ${version} of ${this.files.length}: run "emqx-offline-store migrate"`;
    return null;
  }
}
