import type { ServiceUrl } from '../../config/url';
import { RefusedError, RetryableError } from '../../base/errors';
import { evictionPolicy, replicaProblem } from '../../redis/info';
import type { MigrationPlan, OnMigration } from '../../base/migration';
import { healthWithin, type Health } from '../../base/health';
import { MigrationFiles } from '../shared/migration-files';
import { TakeoverProgress } from '../shared/takeover-progress';
import { StoreOfParts } from '../shared/parts';
import type { Capabilities, Store } from '../store';
import { Clients } from './clients';
import { Database, type RedisTimeouts } from './database';
import { EarlierLayout } from './earlier-layout';
import { Keys } from './keys';
import { MessageIndex } from './message-index';
import { Messages } from './messages';
import { Positions } from './positions';
import { Retained } from './retained';
import { Takeover } from './takeover';

const SETTING = 'STORE_URL';

/** A store on a single Redis, Sentinel or Cluster. */
export class RedisStore extends StoreOfParts implements Store {
  readonly capabilities: Capabilities = { readYourWrites: true, tombstones: true };
  private readonly db: Database;
  private readonly keys: Keys;
  private readonly takeover: Takeover;
  private readonly earlier: EarlierLayout;
  private readonly migrations = new MigrationFiles('redis');

  constructor(url: ServiceUrl, timeouts?: RedisTimeouts) {
    const db = new Database(url, SETTING, timeouts);
    const keys = new Keys(url.params['prefix'] ?? 'mqtt');
    const index = new MessageIndex(db, keys);
    const parts = {
      messages: new Messages(db, keys, index),
      clients: new Clients(db, keys),
      positions: new Positions(db, keys),
      retained: new Retained(db, keys),
    };
    super(parts);
    this.db = db;
    this.keys = keys;
    this.takeover = new Takeover(db, keys, { ...parts, index });
    this.earlier = new EarlierLayout(db, keys, index);
  }

  /** Every step can be repeated, even by two servers at once. */
  async migrate(onProgress?: OnMigration): Promise<void> {
    const version = await this.version();
    if (version > this.migrations.newest) throw new RefusedError(this.migrations.problem(version) ?? '');
    if (version === this.migrations.newest) return;
    if (version < 1) {
      const progress = new TakeoverProgress(onProgress === undefined ? [] : await this.takeover.count(), onProgress);
      progress.begin(this.migrations.all[0]?.name ?? '');
      await this.takeover.run((keys) => progress.add(keys));
    }
    if (version < 2) await this.takeover.noteSeen();
    if (version < 4) await this.earlier.bringAlong();
    await this.db.one('HSET', this.keys.migrations, this.migrations.newest, new Date().toISOString());
  }

  async migrationPlan(): Promise<MigrationPlan> {
    const version = await this.version();
    if (version > this.migrations.newest) throw new RefusedError(this.migrations.problem(version) ?? '');
    return { pending: this.migrations.pending(version), takeover: version === 0 ? await this.takeover.count() : [] };
  }

  private async version(): Promise<number> {
    return Math.max(0, ...(await this.db.one<string[]>('HKEYS', this.keys.migrations)).map(Number));
  }

  health(): Promise<Health> {
    const check = async (): Promise<string> => {
      const problem = this.migrations.problem(await this.version());
      if (problem !== null) throw new RetryableError(problem);
      const info = await this.db.info();
      const replica = this.db.isCluster ? null : replicaProblem(info);
      if (replica !== null) throw new RetryableError(replica);
      return `Redis ${info('redis_version')}${lossOf(info)}`;
    };
    return healthWithin(SETTING, check, () => this.db.troubleText);
  }

  async close(): Promise<void> {
    this.db.close();
  }
}

/** A warning if Redis' settings let it delete messages. */
function lossOf(info: (name: string) => string): string {
  const policy = evictionPolicy(info);
  return policy === null ? '' : `; its maxmemory-policy ${policy} deletes messages: set it to noeviction`;
}
