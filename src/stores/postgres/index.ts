import type { ClientConfig } from 'pg';
import { RetryableError } from '../../errors';
import { healthWithin } from '../../health';
import type { SqlParts } from '../shared/operator';
import { StoreOfParts, type StoreParts } from '../shared/parts';
import type { Capabilities, Health } from '../store';
import { ClientTables } from './clients';
import { Database } from './database';
import { MessageTable } from './messages';
import { Migrations } from './migrations';
import { RetainedTable } from './retained';

/** For what speaks PostgreSQL's language under another name. */
export interface PostgresStoreOptions {
  /** What errors and health() call it. */
  readonly product?: string;
  /** The setting that health() names when something is wrong. */
  readonly setting?: string;
  /** The folder of migrations/. */
  readonly migrations?: string;
}

/** PostgreSQL, and what speaks its language: the embedded database, TimescaleDB. */
export class PostgresStore extends StoreOfParts {
  readonly capabilities: Capabilities = { readYourWrites: true, tombstones: true };
  readonly sql: SqlParts;
  private readonly db: Database;
  protected readonly parts: StoreParts;
  private readonly migrations: Migrations;
  private readonly product: string;
  private readonly setting: string;

  constructor(connection: ClientConfig, { product = 'PostgreSQL', setting = 'STORE_URL', migrations = 'postgres' }: PostgresStoreOptions = {}) {
    super();
    this.product = product;
    this.setting = setting;
    this.db = new Database(connection, product);
    this.migrations = new Migrations(this.db, migrations);
    const messages = new MessageTable(this.db);
    const clients = new ClientTables(this.db);
    this.parts = { messages, clients, positions: clients, retained: new RetainedTable(this.db) };
    this.sql = { runner: this.db, messages };
  }

  migrate(): Promise<void> {
    return this.migrations.run();
  }

  health(): Promise<Health> {
    return healthWithin(this.setting, async () => {
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
