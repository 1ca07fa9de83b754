import { RetryableError } from '../../base/errors';
import type { ServiceUrl } from '../../config/url';
import type { MigrationPlan, OnMigration } from '../../base/migration';
import { healthWithin, type Health } from '../../base/health';
import { StoreOfParts } from '../shared/parts';
import type { Capabilities, Store } from '../store';
import { ClientCollections } from './clients';
import { Database } from './database';
import { MessageCollection } from './messages';
import { Migrations } from './migrations';
import { PositionCollection } from './positions';
import { RetainedCollection } from './retained';
import { settingsOf } from './settings';

/** MongoDB. */
export class MongoStore extends StoreOfParts implements Store {
  readonly capabilities: Capabilities = { readYourWrites: true, tombstones: true };
  private readonly db: Database;
  private readonly migrations: Migrations;

  /** @throws SettingError */
  constructor(url: ServiceUrl) {
    const db = new Database(settingsOf(url), url.path);
    super({
      messages: new MessageCollection(db),
      clients: new ClientCollections(db),
      positions: new PositionCollection(db),
      retained: new RetainedCollection(db),
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
    return healthWithin('STORE_URL', () =>
      this.db.soon(async () => {
        const { version, ferretdbVersion } = await this.db.command({ buildInfo: 1 });
        const schema = await this.migrations.version();
        const problem = this.migrations.problem(schema);
        if (problem !== null) throw new RetryableError(problem);
        return `${ferretdbVersion === undefined ? 'MongoDB' : 'FerretDB, as MongoDB'} ${String(version)}, schema ${schema}`;
      }),
    );
  }

  close(): Promise<void> {
    return this.db.close();
  }
}
