import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Document } from 'mongodb';
import { RefusedError } from '../../base/errors';
import { EMQX_TABLES, TakeoverProgress } from '../shared/takeover-progress';
import type { MigrationPlan, OnMigration, TakeoverCount } from '../../base/migration';
import type { Database } from './database';
import { mapMigrationError } from './errors';
import { Lease } from './lease';
import { checkShapes } from './shapes';
import { takeOver, type TakenOver } from './takeover';

const DIRECTORY = join(__dirname, '../../../migrations/mongodb');
const VERSIONS = 'mqtt_offline_migration';

interface MigrationFile {
  readonly takeOver: readonly TakenOver[];
  /** Commands for the database, as `db.runCommand` in its shell takes them. */
  readonly commands: readonly (CreateIndexes | Document)[];
}

interface CreateIndexes {
  readonly createIndexes: string;
  readonly indexes: readonly IndexSpec[];
}

interface IndexSpec extends Document {
  readonly name: string;
  readonly key: Record<string, 1 | -1>;
}

/**
 * Runs the files of migrations/mongodb, NNN_name.json from 001 without gaps. The collection mqtt_offline_migration
 * notes which were run.
 */
export class Migrations {
  private readonly names = readdirSync(DIRECTORY)
    .filter((name) => /^\d{3}_.*\.json$/.test(name))
    .sort();

  constructor(private readonly db: Database) {}

  async run(onProgress?: OnMigration): Promise<void> {
    // Most starts have nothing to do, and then need neither the lock nor the right to create indexes.
    if ((await this.version()) === this.names.length) return;
    const db = this.db.patient();
    try {
      const current = await this.checkedVersion();
      // This comes before the lock, which is a document, so that a rejected database stays unchanged. All later steps
      // are idempotent.
      if (current < this.names.length) await checkShapes(db);
      const lease = new Lease(db);
      await lease.hold(() => this.runFrom(db, lease, onProgress));
    } finally {
      await db.close();
    }
  }

  /** What run() would do now. */
  async plan(): Promise<MigrationPlan> {
    const version = await this.checkedVersion();
    if (version < this.names.length) await checkShapes(this.db);
    return { pending: this.names.slice(version), takeover: version === 0 ? await takeoverCounts(this.db) : [] };
  }

  private async runFrom(db: Database, lease: Lease, onProgress: OnMigration | undefined): Promise<void> {
    const current = await this.checkedVersion();
    const progress = new TakeoverProgress(current === 0 && onProgress !== undefined ? await takeoverCounts(db) : [], onProgress);
    for (let version = current + 1; version <= this.names.length; version++) {
      const name = this.names[version - 1] ?? '';
      progress.begin(name);
      await this.step(db, lease, name, progress).catch((error: unknown) => {
        throw mapMigrationError(error, name);
      });
      await db.upsert(VERSIONS, [
        { updateMany: { filter: { _id: version }, update: { $setOnInsert: { name, applied_at: new Date() } }, upsert: true } },
      ]);
    }
  }

  private async step(db: Database, lease: Lease, name: string, progress: TakeoverProgress): Promise<void> {
    const { takeOver: collections, commands } = JSON.parse(readFileSync(join(DIRECTORY, name), 'utf8')) as MigrationFile;
    for (const collection of collections) await takeOver[collection](db, lease, (rows) => progress.add(rows));
    for (const command of commands) {
      lease.check();
      if (isCreateIndexes(command)) await removeInTheWay(db, command.createIndexes, command.indexes);
      await db.command(command);
    }
  }

  private async checkedVersion(): Promise<number> {
    const version = await this.version();
    if (version > this.names.length) throw new RefusedError(this.problem(version) ?? '');
    return version;
  }

  /** The newest version that was run; 0 for a database without the server's collections. */
  async version(): Promise<number> {
    const [newest] = await this.db.find<Document>(VERSIONS, { _id: { $gte: 0 } }, { sort: { _id: -1 }, limit: 1 });
    return Number(newest?.['_id'] ?? 0);
  }

  /** What is wrong with a schema of this version; null if nothing is. */
  problem(version: number): string | null {
    if (version > this.names.length)
      return `the schema has version ${version}, this release knows ${this.names.length}: upgrade emqx-offline-store`;
    if (version < this.names.length) return `the schema has version ${version} of ${this.names.length}: run "emqx-offline-store migrate"`;
    return null;
  }
}

/** Nothing is read: these are the numbers that the collections keep themselves. */
async function takeoverCounts(db: Database): Promise<TakeoverCount[]> {
  const counts = await Promise.all(EMQX_TABLES.map(async (table) => ({ table, rows: await db.count(table) })));
  return counts.filter(({ rows }) => rows > 0);
}

const isCreateIndexes = (command: CreateIndexes | Document): command is CreateIndexes => 'createIndexes' in command;

/**
 * MongoDB allows no second index on the same fields. So an operator's index is replaced by the server's, which serves
 * the same queries.
 */
async function removeInTheWay(db: Database, collection: string, wanted: readonly IndexSpec[]): Promise<void> {
  for (const { name, key } of await db.indexes(collection)) {
    const same = wanted.find((each) => isDeepStrictEqual(Object.entries(each.key), Object.entries(key as object)));
    if (same !== undefined && same.name !== name) await db.command({ dropIndexes: collection, index: name as string });
  }
}
