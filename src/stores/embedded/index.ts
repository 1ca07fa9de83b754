import { RetryableError } from '../../base/errors';
import type { MigrationPlan } from '../../base/migration';
import { healthWithin, type Health } from '../../base/health';
import type { Environment } from '../../embedded/environment';
import { StoreOfParts } from '../shared/parts';
import type { Capabilities, Store } from '../store';
import { Clients } from './clients';
import { Database } from './database';
import { Export } from './export';
import { INDEXING, type IndexingSizes } from './indexing';
import { MessageTables } from './message-tables';
import { Messages } from './messages';
import { Meta } from './meta';
import { Positions } from './positions';
import { Retained } from './retained';
import { Upgrade } from './upgrade';

const SETTING = 'DATA_DIR';

/** The embedded default: tables in an LMDB environment. The caller that opened the environment closes it. */
export class EmbeddedStore extends StoreOfParts implements Store {
  readonly capabilities: Capabilities = { readYourWrites: true, tombstones: true };
  private readonly db: Database;
  private readonly meta: Meta;
  private readonly upgrade: Upgrade;
  private readonly everything: Export;

  constructor(environment: Environment, indexing: IndexingSizes = INDEXING) {
    const db = new Database(environment);
    const meta = new Meta(db);
    const tables = new MessageTables(db, meta);
    const messages = new Messages(db, tables, indexing);
    const [clients, positions, retained] = [new Clients(db), new Positions(db), new Retained(db, meta)];
    super({ messages, clients, positions, retained });
    this.db = db;
    this.meta = meta;
    this.upgrade = new Upgrade(db, meta, tables);
    this.everything = new Export(db, { messages, clients, positions, retained });
  }

  migrate(): Promise<void> {
    return this.upgrade.run();
  }

  migrationPlan(): Promise<MigrationPlan> {
    return this.db.read(() => ({ pending: this.upgrade.pending(), takeover: [] }));
  }

  /** For moving everything to another database. */
  exportAll(): Export {
    return this.everything;
  }

  health(): Promise<Health> {
    return healthWithin(SETTING, () =>
      this.db.read(() => {
        const problem = this.meta.problem();
        if (problem !== null) throw new RetryableError(problem);
        return `embedded (LMDB), format ${this.meta.format}`;
      }),
    );
  }

  async close(): Promise<void> {
    this.db.close();
  }
}
