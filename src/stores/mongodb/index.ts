import { RetryableError } from '../../errors';
import type { ServiceUrl } from '../../config/url';
import { healthWithin } from '../../health';
import { StoreOfParts, type StoreParts } from '../shared/parts';
import type { Capabilities, Health } from '../store';
import { ClientCollections } from './clients';
import { Database } from './database';
import { MessageCollection } from './messages';
import { Migrations } from './migrations';
import { RetainedCollection } from './retained';
import { settingsOf } from './settings';

/** MongoDB. */
export class MongoStore extends StoreOfParts {
  readonly capabilities: Capabilities = { readYourWrites: true, tombstones: true };
  private readonly db: Database;
  protected readonly parts: StoreParts;
  private readonly migrations: Migrations;

  /** @throws SettingError */
  constructor(url: ServiceUrl) {
    super();
    this.db = new Database(settingsOf(url), url.path);
    this.migrations = new Migrations(this.db);
    const clients = new ClientCollections(this.db);
    this.parts = { messages: new MessageCollection(this.db), clients, positions: clients, retained: new RetainedCollection(this.db) };
  }

  async migrate(): Promise<void> {
    await this.migrations.run();
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
