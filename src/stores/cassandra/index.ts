import type { types } from 'cassandra-driver';
import { RetryableError } from '../../base/errors';
import type { MigrationPlan, OnMigration } from '../../base/migration';
import { healthWithin, type Health } from '../../base/health';
import { StoreOfParts } from '../shared/parts';
import type { Capabilities, Store } from '../store';
import { ClientTables } from './clients';
import { Database } from './database';
import { MessageTable } from './messages';
import { Migrations } from './migrations';
import { PositionTable } from './positions';
import { productProblem } from './product';
import { RetainedTable } from './retained';
import { meets, type CassandraSettings } from './settings';

export { cassandraSettings } from './settings';

/**
 * Cassandra uses the writers' clocks to decide which write is the newest, so they may differ by at most this much (s).
 */
const MOST_SKEW_S = 10;

/** Apache Cassandra. */
export class CassandraStore extends StoreOfParts implements Store {
  readonly capabilities: Capabilities;
  private readonly db: Database;
  private readonly migrations: Migrations;

  constructor(settings: CassandraSettings) {
    const db = new Database(settings);
    super({
      messages: new MessageTable(db),
      clients: new ClientTables(db),
      positions: new PositionTable(db),
      retained: new RetainedTable(db),
    });
    this.capabilities = { readYourWrites: meets(settings.consistency), tombstones: true };
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
      const [row] = await this.db.rows<{ release_version: string; now: types.TimeUuid }>(
        'SELECT release_version, now() AS now FROM system.local',
      );
      const seconds = Math.round(Math.abs(Date.now() - (row?.now.getDate().getTime() ?? 0)) / 1_000);
      if (seconds > MOST_SKEW_S)
        throw new RetryableError(`this machine's clock and Cassandra's differ by ${seconds} s: synchronize them (NTP)`);
      const schema = await this.migrations.version();
      // If the database can't have the server's tables, advice to migrate would be useless.
      const problem = (schema === 0 ? await productProblem(this.db) : null) ?? this.migrations.problem(schema);
      if (problem !== null) throw new RetryableError(problem);
      return `Cassandra ${row?.release_version}, schema ${schema}`;
    });
  }

  close(): Promise<void> {
    return this.db.close();
  }
}
