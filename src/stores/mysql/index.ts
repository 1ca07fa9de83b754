import type { ServiceUrl } from '../../config/url';
import { RetryableError } from '../../base/errors';
import type { MigrationPlan, OnMigration } from '../../base/migration';
import { healthWithin, type Health } from '../../base/health';
import type { SqlParts } from '../shared/operator';
import { StoreOfParts } from '../shared/parts';
import type { Capabilities, Store } from '../store';
import { ClientTables } from './clients';
import { connectionOf } from './connection';
import { Database, type DatabaseOptions } from './database';
import { MessageTable } from './messages';
import { Migrations } from './migrations';
import { PositionTable } from './positions';
import { RetainedTable } from './retained';

const SETTING = 'STORE_URL';

/** MySQL and MariaDB. */
export class MysqlStore extends StoreOfParts implements Store {
  readonly capabilities: Capabilities = { readYourWrites: true, tombstones: true };
  readonly sql: SqlParts;
  private readonly db: Database;
  private readonly migrations: Migrations;

  constructor(url: ServiceUrl, options: DatabaseOptions = {}) {
    const db = new Database(connectionOf(url, SETTING), options);
    const messages = new MessageTable(db);
    super({ messages, clients: new ClientTables(db), positions: new PositionTable(db), retained: new RetainedTable(db) });
    this.db = db;
    this.migrations = new Migrations(db);
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
      const [row] = await this.db.rows<{ version: string }>('SELECT VERSION() AS version');
      const schema = await this.migrations.version();
      const problem = this.migrations.problem(schema);
      if (problem !== null) throw new RetryableError(problem);
      return `${productOf(row?.version ?? '')}, schema ${schema}`;
    });
  }

  close(): Promise<void> {
    return this.db.close();
  }
}

/** MariaDB's version contains its name: `10.11.14-MariaDB-0+deb12u2`. */
function productOf(version: string): string {
  return version.includes('MariaDB') ? `MariaDB ${version.replace(/-MariaDB.*/, '')}` : `MySQL ${version}`;
}
