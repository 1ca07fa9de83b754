import { Agent } from 'node:https';
import { DynamoDB, TransactionCanceledException, type DynamoDBClientConfig, type QueryCommandInput } from '@aws-sdk/client-dynamodb';
import { ClosedError } from '../../base/errors';
import { isNamed, mapError } from './errors';
import type { DynamoSettings } from './settings';
import type { Item } from './values';

const CONNECTION_TIMEOUT_MS = 3_000;
const REQUEST_TIMEOUT_MS = 15_000;
/** Why DynamoDB cancels a transaction that may succeed a moment later. */
const PASSING = ['TransactionConflict', 'ThrottlingError', 'ProvisionedThroughputExceeded'];
/** The most sockets, for all calls together. */
export const SOCKETS = 64;

/** The condition of a write, and the change of an update. */
export interface Expression {
  readonly condition?: string;
  readonly update?: string;
  readonly names?: Record<string, string>;
  readonly values?: Item;
}

/**
 * A query without its table, whose name is given without prefix. Reads are consistent, except those of an index, which
 * can't be.
 */
export type Query = Omit<QueryCommandInput, 'TableName' | 'ConsistentRead'>;

/** Sends requests to the tables with one prefix. Errors are the server's own kinds. */
export class Client {
  private readonly db: DynamoDB;
  private closed = false;

  constructor(
    private readonly settings: DynamoSettings,
    requestTimeoutMs = REQUEST_TIMEOUT_MS,
  ) {
    this.db = new DynamoDB(configOf(settings, requestTimeoutMs));
  }

  get region(): string {
    return this.settings.region;
  }

  checkOpen(): void {
    if (this.closed) throw new ClosedError('the store is closed');
  }

  table(name: string): string {
    return this.settings.prefix + name;
  }

  async call<T>(work: (db: DynamoDB) => Promise<T>): Promise<T> {
    this.checkOpen();
    try {
      return await work(this.db);
    } catch (error) {
      throw mapError(error);
    }
  }

  async get(table: string, key: Item, attributes?: readonly string[]): Promise<Item | null> {
    const { Item: found } = await this.call((db) =>
      db.getItem({ TableName: this.table(table), Key: key, ConsistentRead: true, ...projection(attributes) }),
    );
    return found ?? null;
  }

  /** @returns false if the condition does not hold, otherwise the previous item or null. */
  async put(table: string, item: Item, on: Expression = {}): Promise<Item | null | false> {
    return this.conditional(async (db) => {
      const { Attributes } = await db.putItem({ TableName: this.table(table), Item: item, ReturnValues: 'ALL_OLD', ...inputOf(on) });
      return Attributes ?? null;
    });
  }

  async update(table: string, key: Item, on: Expression): Promise<boolean> {
    const done = await this.conditional(async (db) => {
      await db.updateItem({ TableName: this.table(table), Key: key, UpdateExpression: on.update, ...inputOf(on) });
      return true;
    });
    return done !== false;
  }

  /** @returns like put(). */
  async delete(table: string, key: Item, on: Expression = {}): Promise<Item | null | false> {
    return this.conditional(async (db) => {
      const { Attributes } = await db.deleteItem({ TableName: this.table(table), Key: key, ReturnValues: 'ALL_OLD', ...inputOf(on) });
      return Attributes ?? null;
    });
  }

  /**
   * Replaces an item by one with another key, both at once.
   * @returns false if the old item is not there; null if the call must be repeated, because another request writes one
   * of the two, or because DynamoDB throttles.
   */
  async replace(table: string, key: Item, item: Item): Promise<boolean | null> {
    const TableName = this.table(table);
    const names = Object.fromEntries(Object.keys(key).map((name, i) => [`#k${i}`, name]));
    const there = { ConditionExpression: 'attribute_exists(#k0)', ExpressionAttributeNames: names };
    return this.call(async (db) => {
      try {
        await db.transactWriteItems({ TransactItems: [{ Delete: { TableName, Key: key, ...there } }, { Put: { TableName, Item: item } }] });
        return true;
      } catch (error) {
        const reasons = error instanceof TransactionCanceledException ? (error.CancellationReasons ?? []) : [];
        if (reasons.some(({ Code }) => Code === 'ConditionalCheckFailed')) return false;
        if (reasons.some(({ Code = '' }) => PASSING.includes(Code))) return null;
        throw error;
      }
    });
  }

  private conditional<T>(work: (db: DynamoDB) => Promise<T>): Promise<T | false> {
    return this.call((db) =>
      work(db).catch((error: unknown): false => {
        if (isNamed(error, 'ConditionalCheckFailedException')) return false;
        throw error;
      }),
    );
  }

  /** One page, limited by `Limit` or 1 MB. `next` is where the next page begins; null at the end. */
  async page(table: string, query: Query, start: Item | null): Promise<{ items: Item[]; next: Item | null; count: number }> {
    const input = { ...query, TableName: this.table(table), ConsistentRead: query.IndexName === undefined };
    const { Items, LastEvaluatedKey, Count } = await this.call((db) =>
      db.query({ ...input, ...(start !== null && { ExclusiveStartKey: start }) }),
    );
    return { items: Items ?? [], next: LastEvaluatedKey ?? null, count: Count ?? 0 };
  }

  async *query(table: string, query: Query): AsyncGenerator<Item[]> {
    for (let start: Item | null = null; ;) {
      const { items, next }: { items: Item[]; next: Item | null } = await this.page(table, query, start);
      yield items;
      if (next === null) return;
      start = next;
    }
  }

  /** The next items of the table, in no order. Reads `size` items, or 1 MB. */
  async scan(table: string, attributes: readonly string[], size: number, start: Item | null): Promise<{ rows: Item[]; next: Item | null }> {
    const input = { TableName: this.table(table), Limit: size, ...projection(attributes) };
    const { Items, LastEvaluatedKey } = await this.call((db) => db.scan({ ...input, ...(start !== null && { ExclusiveStartKey: start }) }));
    return { rows: Items ?? [], next: LastEvaluatedKey ?? null };
  }

  close(): void {
    if (!this.closed) this.db.destroy();
    this.closed = true;
  }
}

function configOf({ region, endpoint, credentials, ca }: DynamoSettings, requestTimeout: number): DynamoDBClientConfig {
  return {
    region,
    ...(endpoint !== null && { endpoint }),
    ...(credentials !== null && { credentials }),
    requestHandler: {
      connectionTimeout: CONNECTION_TIMEOUT_MS,
      requestTimeout,
      throwOnRequestTimeout: true,
      httpAgent: { keepAlive: true, maxSockets: SOCKETS },
      httpsAgent: new Agent({ keepAlive: true, maxSockets: SOCKETS, ...(ca !== null && { ca }) }),
    },
  };
}

function inputOf({ condition, names, values }: Expression) {
  return {
    ...(condition !== undefined && { ConditionExpression: condition }),
    ...(names !== undefined && { ExpressionAttributeNames: names }),
    ...(values !== undefined && { ExpressionAttributeValues: values }),
  };
}

/** Every name uses a placeholder, because hundreds of words are reserved. */
export function projection(attributes: readonly string[] | undefined) {
  if (attributes === undefined) return {};
  return {
    ProjectionExpression: attributes.map((_, i) => `#a${i}`).join(', '),
    ExpressionAttributeNames: Object.fromEntries(attributes.map((name, i) => [`#a${i}`, name])),
  };
}
