import type { ServiceUrl } from '../../config/url';
import { RetryableError } from '../../errors';
import { healthWithin } from '../../health';
import type { SqlParts } from '../shared/operator';
import { StoreOfParts, type StoreParts } from '../shared/parts';
import type { Capabilities, Health } from '../store';
import { ClientTables } from './clients';
import { connectionOf } from './connection';
import { Database, type DatabaseOptions } from './database';
import { MessageTable } from './messages';
import { Migrations } from './migrations';
import { RetainedTable } from './retained';

const SETTING = 'STORE_URL';

/** MySQL and MariaDB. */
export class MysqlStore extends StoreOfParts {
  readonly capabilities: Capabilities = { readYourWrites: true, tombstones: true };
  readonly sql: SqlParts;
  private readonly db: Database;
  protected readonly parts: StoreParts;
  private readonly migrations: Migrations;

  constructor(url: ServiceUrl, options: DatabaseOptions = {}) {
    super();
    this.db = new Database(connectionOf(url, SETTING), options);
    this.migrations = new Migrations(this.db);
    const messages = new MessageTable(this.db);
    const clients = new ClientTables(this.db);
    this.parts = { messages, clients, positions: clients, retained: new RetainedTable(this.db) };
    this.sql = { runner: this.db, messages };
  }

  migrate(): Promise<void> {
    return this.migrations.run();
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

/** MariaDB says so in its version: `10.11.14-MariaDB-0+deb12u2`. */
function productOf(version: string): string {
  return version.includes('MariaDB') ? `MariaDB ${version.replace(/-MariaDB.*/, '')}` : `MySQL ${version}`;
}
