import { RefusedError } from '../../base/errors';
import { MigrationFiles } from '../../stores/shared/migration-files';
import type { MigrationPlan } from '../../base/migration';
import type { Connection } from './connection';

const TABLE = 'mqtt_history_migration';

/**
 * Runs the plain SQL files of migrations/clickhouse-history/. Each has one statement, which may run again, because
 * ClickHouse has no transactions.
 */
export class Migrations {
  private readonly files = new MigrationFiles('clickhouse-history');

  constructor(private readonly connection: Connection) {}

  async run(): Promise<void> {
    const current = await this.version();
    const problem = this.problem(current);
    if (problem === null) return;
    if (current > this.files.newest) throw new RefusedError(problem);
    await this.connection.command(
      `CREATE TABLE IF NOT EXISTS ${TABLE} (version UInt32, name String, applied_at DateTime DEFAULT now()) ENGINE = MergeTree() ORDER BY version`,
    );
    for (const { version, name, text } of this.files.all.slice(current)) {
      await this.connection.command(text.replace(/;\s*$/, ''));
      await this.connection.insert(TABLE, [{ version, name }]);
    }
  }

  /** What run() would do now. */
  async plan(): Promise<MigrationPlan> {
    const version = await this.version();
    if (version > this.files.newest) throw new RefusedError(this.problem(version) ?? '');
    return { pending: this.files.pending(version), takeover: [] };
  }

  /** The newest version that was run; 0 for a database without the server's tables. */
  async version(): Promise<number> {
    const [table] = await this.connection.rows<{ there: number }>(`EXISTS TABLE ${TABLE}`);
    if (Number(Object.values(table ?? {})[0] ?? 0) === 0) return 0;
    const [row] = await this.connection.rows<{ version: number | string }>(`SELECT max(version) AS version FROM ${TABLE}`);
    return Number(row?.version ?? 0);
  }

  problem(version: number): string | null {
    return this.files.problem(version);
  }
}
