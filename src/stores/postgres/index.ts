import type { ClientConfig } from 'pg';
import { RetryableError } from '../../base/errors';
import type { MigrationPlan, OnMigration } from '../../base/migration';
import { healthWithin, type Health } from '../../base/health';
import type { SqlParts } from '../shared/operator';
import { StoreOfParts } from '../shared/parts';
import type { Capabilities, Store } from '../store';
import { ClientTables } from './clients';
import { Database } from './database';
import { MessageTable } from './messages';
import { Migrations } from './migrations';
import { PositionTable } from './positions';
import { RetainedTable } from './retained';

const SETTING = 'STORE_URL';

/** PostgreSQL and TimescaleDB. */
export class PostgresStore extends StoreOfParts implements Store {
  readonly capabilities: Capabilities = { readYourWrites: true, tombstones: true };
  readonly sql: SqlParts;
  private readonly db: Database;
  private readonly migrations: Migrations;

  /** @param product the name in errors and in health(). */
  constructor(
    connection: ClientConfig,
    private readonly product: 'PostgreSQL' | 'TimescaleDB' = 'PostgreSQL',
  ) {
    const db = new Database(connection, product);
    const messages = new MessageTable(db);
    super({ messages, clients: new ClientTables(db), positions: new PositionTable(db), retained: new RetainedTable(db) });
    this.db = db;
    this.migrations = new Migrations(db, 'postgres');
    this.sql = { runner: db, messages };
  }

  migrate(onProgress?: OnMigration): Promise<void> {
    return this.migrations.run(onProgress);
  }

  migrationPlan(): Promise<MigrationPlan> {
    return this.migrations.plan();
  }

  health(): Promise<Health> {
    return healthWithin(SETTING, async () => {
      const [row] = await this.db.rows<{ version: string }>(`SELECT current_setting('server_version') AS version`);
      const schema = await this.migrations.version();
      const problem = this.migrations.problem(schema);
      if (problem !== null) throw new RetryableError(problem);
      return `${this.product} ${row?.version}, schema ${schema}`;
    });
  }

  close(): Promise<void> {
    return this.db.close();
  }
}
