import type { ServiceUrl } from '../../config/url';
import { RetryableError } from '../../errors';
import { healthWithin } from '../../health';
import { StoreOfParts, type StoreParts } from '../shared/parts';
import type { Capabilities, Health } from '../store';
import { Client } from './client';
import { ClientTables } from './clients';
import { MessageTable } from './messages';
import { Migrations } from './migrations';
import { Removals } from './removals';
import { RetainedTable } from './retained';
import { Sweeper } from './sweeper';

/** ClickHouse, over HTTP. */
export class ClickHouseStore extends StoreOfParts {
  readonly capabilities: Capabilities = { readYourWrites: true, tombstones: true };
  private readonly db: Client;
  protected readonly parts: StoreParts;
  private readonly migrations: Migrations;
  private readonly sweeper: Sweeper;

  /** @throws SettingError */
  constructor(url: ServiceUrl) {
    super();
    this.db = new Client(url);
    this.migrations = new Migrations(this.db);
    const removals = new Removals(this.db);
    const clients = new ClientTables(this.db);
    this.parts = { messages: new MessageTable(this.db, removals), clients, positions: clients, retained: new RetainedTable(this.db) };
    this.sweeper = new Sweeper(this.db, removals);
  }

  migrate(): Promise<void> {
    return this.migrations.run();
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

  override async purgeExpired(now: number, limit: number): Promise<number> {
    const removed = await super.purgeExpired(now, limit);
    // The last step of a run: what it removed, and what others did, is given back to the disk.
    if (removed < limit) await this.sweeper.run();
    return removed;
  }

  close(): Promise<void> {
    return this.db.close();
  }
}
