import type { ServiceUrl } from '../../config/url';
import { RetryableError } from '../../errors';
import { healthWithin } from '../../health';
import { StoreOfParts, type StoreParts } from '../shared/parts';
import type { Capabilities, Health } from '../store';
import { Client } from './client';
import { Clients } from './clients';
import { Messages } from './messages';
import { Migrations } from './migrations';
import { Positions } from './positions';
import { Retained } from './retained';
import { settingsOf } from './settings';

const SETTING = 'STORE_URL';

export interface DynamoStoreOptions {
  /** Of each try; the SDK tries three times. */
  readonly requestTimeoutMs?: number;
}

/** Amazon DynamoDB, and what speaks its language. All reads that the contract depends on are consistent ones. */
export class DynamoStore extends StoreOfParts {
  readonly capabilities: Capabilities = { readYourWrites: true, tombstones: true };
  private readonly client: Client;
  protected readonly parts: StoreParts;
  private readonly migrations: Migrations;

  /** @throws SettingError */
  constructor(url: ServiceUrl, { requestTimeoutMs }: DynamoStoreOptions = {}) {
    super();
    this.client = new Client(settingsOf(url), requestTimeoutMs);
    this.parts = {
      messages: new Messages(this.client),
      clients: new Clients(this.client),
      positions: new Positions(this.client),
      retained: new Retained(this.client),
    };
    this.migrations = new Migrations(this.client);
  }

  migrate(): Promise<void> {
    return this.migrations.run();
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
