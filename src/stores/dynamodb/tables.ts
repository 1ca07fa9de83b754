import { setTimeout as sleep } from 'node:timers/promises';
import type { CreateTableCommandInput, KeySchemaElement, TableDescription, UpdateTimeToLiveCommandInput } from '@aws-sdk/client-dynamodb';
import { RefusedError, RetryableError } from '../../base/errors';
import type { Client } from './client';
import { isNamed } from './errors';
import { pooled } from './pool';

const POLL_MS = 500;
const ACTIVE_WITHIN_MS = 5 * 60_000;

/** Creates and describes tables. Names are without prefix. */
export class Tables {
  constructor(private readonly client: Client) {}

  /**
   * Creates missing tables. Nothing is changed before all present tables are known to fit.
   * @throws RefusedError
   */
  async create(inputs: readonly CreateTableCommandInput[]): Promise<void> {
    const found = await pooled(inputs, ({ TableName }) => this.describe(TableName ?? ''));
    for (const [i, table] of found.entries()) if (table !== null) checkFits(inputs[i]!, table);
    const missing = inputs.filter((_, i) => found[i] === null);
    await pooled(missing, (input) => this.createOne(input));
    await pooled(inputs, ({ TableName }) => this.untilActive(TableName ?? ''));
  }

  /** null if there is no such table. */
  async describe(name: string): Promise<TableDescription | null> {
    return this.client.call(async (db) => {
      try {
        return (await db.describeTable({ TableName: this.client.table(name) })).Table ?? null;
      } catch (error) {
        if (isNamed(error, 'ResourceNotFoundException')) return null;
        throw error;
      }
    });
  }

  private async createOne(input: CreateTableCommandInput): Promise<void> {
    await this.client.call(async (db) => {
      try {
        await db.createTable({ ...input, TableName: this.client.table(input.TableName ?? '') });
      } catch (error) {
        // Another server that migrates at the same time has created it first.
        if (!isNamed(error, 'ResourceInUseException')) throw error;
      }
    });
  }

  private async untilActive(name: string): Promise<void> {
    for (const end = Date.now() + ACTIVE_WITHIN_MS; ; await sleep(POLL_MS)) {
      const status = (await this.describe(name))?.TableStatus;
      if (status === 'ACTIVE' || status === 'UPDATING') return;
      if (Date.now() > end || (status !== undefined && status !== 'CREATING')) {
        throw new RetryableError(`the table ${this.client.table(name)} is ${status ?? 'missing'}: try again when it is ACTIVE`);
      }
    }
  }

  /** DynamoDB rejects switching on what is on already. */
  async expire({ TableName: name = '', TimeToLiveSpecification }: UpdateTimeToLiveCommandInput): Promise<void> {
    const TableName = this.client.table(name);
    if (await this.expires(TableName)) return;
    await this.client.call(async (db) => {
      try {
        await db.updateTimeToLive({ TableName, TimeToLiveSpecification });
      } catch (error) {
        // Another server has switched it on first.
        const taken = isNamed(error, 'ValidationException') || isNamed(error, 'ResourceInUseException');
        if (!taken || !(await this.expires(TableName))) throw error;
      }
    });
  }

  private async expires(TableName: string): Promise<boolean> {
    const { TimeToLiveDescription } = await this.client.call((db) => db.describeTimeToLive({ TableName }));
    return ['ENABLED', 'ENABLING'].includes(TimeToLiveDescription?.TimeToLiveStatus ?? '');
  }
}

/** @throws RefusedError if a table only has the name of one of the server's tables. */
export function checkFits(input: CreateTableCommandInput, table: TableDescription): void {
  const [wanted, found] = [keysOf(input), keysOf(table)];
  if (wanted !== found)
    throw new RefusedError(
      `the table ${table.TableName} cannot be taken over: it has the key ${found}, expected ${wanted}; nothing was changed`,
    );
  for (const { IndexName, KeySchema } of input.GlobalSecondaryIndexes ?? []) {
    const index = table.GlobalSecondaryIndexes?.find((each) => each.IndexName === IndexName);
    if (index === undefined || keyNames(index.KeySchema) !== keyNames(KeySchema)) {
      throw new RefusedError(
        `the table ${table.TableName} cannot be taken over: it has no index ${IndexName} on ${keyNames(KeySchema)}; nothing was changed`,
      );
    }
  }
}

/** For example "topic (S), clientid (S)". */
function keysOf({ KeySchema, AttributeDefinitions }: CreateTableCommandInput | TableDescription): string {
  const typeOf = (name: string | undefined) =>
    AttributeDefinitions?.find(({ AttributeName }) => AttributeName === name)?.AttributeType ?? '?';
  return sorted(KeySchema)
    .map(({ AttributeName }) => `${AttributeName} (${typeOf(AttributeName)})`)
    .join(', ');
}

const keyNames = (schema: readonly KeySchemaElement[] | undefined): string =>
  sorted(schema)
    .map(({ AttributeName }) => AttributeName)
    .join(', ');

/** HASH comes before RANGE. */
function sorted(schema: readonly KeySchemaElement[] | undefined): KeySchemaElement[] {
  return [...(schema ?? [])].sort((a, b) => (a.KeyType ?? '').localeCompare(b.KeyType ?? ''));
}
