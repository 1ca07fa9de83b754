import type { ServiceUrl } from '../../config/url';
import { RetryableError } from '../../base/errors';
import type { MigrationPlan, OnMigration } from '../../base/migration';
import { healthWithin, type Health } from '../../base/health';
import { StoreOfParts } from '../shared/parts';
import type { Capabilities, Store } from '../store';
import { Client } from './client';
import { Clients } from './clients';
import { Messages } from './messages';
import { Migrations } from './migrations';
import { Positions } from './positions';
import { Retained } from './retained';
import { settingsOf } from './settings';

const SETTING = 'STORE_URL';

export interface DynamoStoreOptions {
  /** The time limit of each attempt (ms). The SDK makes three attempts. */
  readonly requestTimeoutMs?: number;
}

/** Amazon DynamoDB and compatible servers. All reads that the contract depends on are consistent. */
export class DynamoStore extends StoreOfParts implements Store {
  readonly capabilities: Capabilities = { readYourWrites: true, tombstones: true };
  private readonly client: Client;
  private readonly migrations: Migrations;

  /** @throws SettingError */
  constructor(url: ServiceUrl, { requestTimeoutMs }: DynamoStoreOptions = {}) {
    const client = new Client(settingsOf(url), requestTimeoutMs);
    super({
      messages: new Messages(client),
      clients: new Clients(client),
      positions: new Positions(client),
      retained: new Retained(client),
    });
    this.client = client;
    this.migrations = new Migrations(client);
  }

  migrate(onProgress?: OnMigration): Promise<void> {
    return this.migrations.run(onProgress);
  }

  migrationPlan(): Promise<MigrationPlan> {
    return this.migrations.plan();
  }

  health(): Promise<Health> {
    return healthWithin(SETTING, async () => {
      const schema = await this.migrations.version();
      const problem = this.migrations.problem(schema);
      if (problem !== null) throw new RetryableError(problem);
      return `DynamoDB ${this.client.region}, schema ${schema}`;
    });
  }

  async close(): Promise<void> {
    this.client.close();
  }
}
