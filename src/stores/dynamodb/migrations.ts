import type { CreateTableCommandInput, UpdateTimeToLiveCommandInput } from '@aws-sdk/client-dynamodb';
import { RefusedError } from '../../base/errors';
import { MigrationFiles } from '../shared/migration-files';
import { writeAll } from './batches';
import { TakeoverProgress } from '../shared/takeover-progress';
import type { MigrationPlan, OnMigration } from '../../base/migration';
import type { Client } from './client';
import { isNamed } from './errors';
import { Tables } from './tables';
import { Takeover } from './takeover';
import { number, numberOf, text, type Item } from './values';

const TABLE = 'mqtt_offline_migration';

interface Step {
  readonly version: number;
  readonly name: string;
  readonly input: CreateTableCommandInput | UpdateTimeToLiveCommandInput;
}

const isTable = (input: Step['input']): input is CreateTableCommandInput => 'KeySchema' in input;

/**
 * Runs the plain JSON files of migrations/dynamodb/, in the form that `aws dynamodb create-table` and
 * `update-time-to-live` take (--cli-input-json). The table mqtt_offline_migration notes which were run, after all is
 * done. So two servers that start at once do the same work, and an interrupted migration continues.
 */
export class Migrations {
  private readonly steps: readonly Step[];
  private readonly tables: Tables;

  constructor(private readonly client: Client) {
    this.tables = new Tables(client);
    this.steps = new MigrationFiles('dynamodb').all.map(({ version, name, text: json }) => ({
      version,
      name,
      input: JSON.parse(json) as Step['input'],
    }));
  }

  async run(onProgress?: OnMigration): Promise<void> {
    // Most starts have nothing to do, and then need no right to create tables.
    const current = await this.version();
    if (current === this.steps.length) return;
    if (current > this.steps.length) throw new RefusedError(this.problem(current) ?? '');
    const inputs = this.steps.slice(current).map(({ input }) => input);
    const takeover = new Takeover(this.client, this.tables);
    if (current === 0) await takeover.check();
    await this.tables.create(inputs.filter(isTable));
    for (const input of inputs) if (!isTable(input)) await this.tables.expire(input);
    if (current === 0) {
      const progress = new TakeoverProgress(onProgress === undefined ? [] : await takeover.count(), onProgress);
      progress.begin(`${this.steps.length} migrations`);
      await takeover.run((items) => progress.add(items));
    }
    await writeAll(
      this.client,
      this.steps.slice(current).map(({ name, version }) => ({
        table: TABLE,
        put: { name: text(name), version: number(version), applied_at: text(new Date().toISOString()) },
      })),
    );
  }

  /** What run() would do now. */
  async plan(): Promise<MigrationPlan> {
    const version = await this.version();
    if (version > this.steps.length) throw new RefusedError(this.problem(version) ?? '');
    const takeover = new Takeover(this.client, this.tables);
    if (version === 0) await takeover.check();
    return { pending: this.steps.slice(version).map(({ name }) => name), takeover: version === 0 ? await takeover.count() : [] };
  }

  /** The newest version that was run; 0 if the server's tables are missing. */
  async version(): Promise<number> {
    let version = 0;
    for (let start: Item | undefined; ;) {
      const input = { TableName: this.client.table(TABLE), ConsistentRead: true, ...(start && { ExclusiveStartKey: start }) };
      const page = await this.client.call((db) =>
        db.scan(input).catch((error: unknown) => {
          if (isNamed(error, 'ResourceNotFoundException')) return null;
          throw error;
        }),
      );
      for (const item of page?.Items ?? []) version = Math.max(version, numberOf(item['version']) ?? 0);
      start = page?.LastEvaluatedKey;
      if (start === undefined) return version;
    }
  }

  /** What is wrong with a schema of this version; null if nothing is. */
  problem(version: number): string | null {
    const known = this.steps.length;
    if (version > known) return `the schema has version ${version}, this release knows ${known}: upgrade emqx-offline-store`;
    if (version < known)
      return `the tables ${this.client.table('mqtt_...')} have version ${version} of ${known}: check region and prefix=, or run "emqx-offline-store migrate"`;
    return null;
  }
}
