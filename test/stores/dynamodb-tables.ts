import { DynamoDB, paginateScan, type AttributeValue } from '@aws-sdk/client-dynamodb';
import { parseServiceUrl } from '../../src/config/url';
import { DynamoStore, type DynamoStoreOptions } from '../../src/stores/dynamodb';

/** Tables of one prefix on a test server, which are deleted at the end. */
export class TestTables {
  readonly db: DynamoDB;
  readonly endpoint: string;

  constructor(
    readonly server: string,
    readonly prefix: string,
  ) {
    this.endpoint = parseServiceUrl(server, ['dynamodb']).params['endpoint'] ?? '';
    this.db = new DynamoDB({ region: 'us-east-1', endpoint: this.endpoint, credentials: { accessKeyId: 'test', secretAccessKey: 'test' } });
  }

  /** With the server's own parameters replaced by these, where given. */
  url(params: Record<string, string> = {}, login = 'test:test@'): string {
    const url = parseServiceUrl(this.server, ['dynamodb']);
    const query = Object.entries({ ...url.params, prefix: this.prefix, ...params }).map(
      ([name, value]) => `${name}=${encodeURIComponent(value)}`,
    );
    return `dynamodb://${login}${url.hosts[0]?.host}?${query.join('&')}`;
  }

  open(params: Record<string, string> = {}, login?: string): DynamoStore {
    return storeOf(this.url(params, login));
  }

  async items(table: string): Promise<Record<string, AttributeValue>[]> {
    const pages = paginateScan({ client: this.db }, { TableName: this.prefix + table, ConsistentRead: true });
    const items: Record<string, AttributeValue>[] = [];
    for await (const { Items = [] } of pages) items.push(...Items);
    return items;
  }

  async put(table: string, ...items: Record<string, AttributeValue>[]): Promise<void> {
    for (const Item of items) await this.db.putItem({ TableName: this.prefix + table, Item });
  }

  async names(): Promise<string[]> {
    const { TableNames = [] } = await this.db.listTables({ ExclusiveStartTableName: this.prefix });
    return TableNames.filter((name) => name.startsWith(this.prefix));
  }

  async drop(): Promise<void> {
    for (const TableName of await this.names()) await this.db.deleteTable({ TableName });
    this.db.destroy();
  }
}

export const storeOf = (url: string, options?: DynamoStoreOptions): DynamoStore =>
  new DynamoStore(parseServiceUrl(url, ['dynamodb']), options);
