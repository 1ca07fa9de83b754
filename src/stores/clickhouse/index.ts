import type { ServiceUrl } from '../../config/url';
import { RetryableError } from '../../base/errors';
import type { MigrationPlan, OnMigration } from '../../base/migration';
import { healthWithin, type Health } from '../../base/health';
import { StoreOfParts } from '../shared/parts';
import type { Capabilities, Store } from '../store';
import { Client } from './client';
import { ClientTables } from './clients';
import { MessageTable } from './messages';
import { Migrations } from './migrations';
import { PositionTable } from './positions';
import { Removals } from './removals';
import { RetainedTable } from './retained';

/** ClickHouse, over HTTP. */
export class ClickHouseStore extends StoreOfParts implements Store {
  readonly capabilities: Capabilities = { readYourWrites: true, tombstones: true };
  private readonly db: Client;
  private readonly migrations: Migrations;

  /** @throws SettingError */
  constructor(url: ServiceUrl) {
    const db = new Client(url);
    super({
      messages: new MessageTable(db, new Removals(db)),
      clients: new ClientTables(db),
      positions: new PositionTable(db),
      retained: new RetainedTable(db),
    });
    this.db = db;
    this.migrations = new Migrations(db);
  }

  migrate(onProgress?: OnMigration): Promise<void> {
    return this.migrations.run(onProgress);
  }

  migrationPlan(): Promise<MigrationPlan> {
    return this.migrations.plan();
  }

  health(): Promise<Health> {
    return healthWithin('STORE_URL', async () => {
      const [row] = await this.db.rows<{ version: string; readonly: string }>(
        `SELECT version() AS version, (SELECT value FROM system.settings WHERE name = 'readonly') AS readonly`,
      );
      if (row?.readonly !== '0') throw new RetryableError('the user is read-only and needs to write');
      const schema = await this.migrations.version();
      const problem = this.migrations.problem(schema);
      if (problem !== null) throw new RetryableError(problem);
      return `ClickHouse ${row?.version}, schema ${schema}`;
    });
  }

  close(): Promise<void> {
    return this.db.close();
  }
}
