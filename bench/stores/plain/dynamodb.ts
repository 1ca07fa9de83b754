import { DynamoDB, type AttributeValue, type WriteRequest } from '@aws-sdk/client-dynamodb';
import { parseServiceUrl } from '../../../src/config/url';
import type { Message } from '../../../src/mqtt/message';
import { row, TABLE, type MakePlain } from './plain';

/** The most that BatchWriteItem takes. */
const MOST = 25;

const attribute = (value: unknown): AttributeValue => (typeof value === 'number' ? { N: String(value) } : { S: String(value) });

const put = (message: Message): WriteRequest => ({
  PutRequest: { Item: Object.fromEntries(Object.entries(row(message)).map(([name, value]) => [name, attribute(value)])) },
});

export const dynamodb: MakePlain = async (url) => {
  const { params } = parseServiceUrl(url, ['dynamodb']);
  const db = new DynamoDB({
    region: 'us-east-1',
    endpoint: params['endpoint']!,
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  });
  const table = `${params['prefix']}${TABLE}`;
  await db.createTable({
    TableName: table,
    BillingMode: 'PAY_PER_REQUEST',
    AttributeDefinitions: [{ AttributeName: 'msgid', AttributeType: 'S' }],
    KeySchema: [{ AttributeName: 'msgid', KeyType: 'HASH' }],
  });
  const write = (requests: readonly WriteRequest[]) => {
    const chunks = Array.from({ length: Math.ceil(requests.length / MOST) }, (_, i) => requests.slice(i * MOST, (i + 1) * MOST));
    return Promise.all(chunks.map((chunk) => db.batchWriteItem({ RequestItems: { [table]: chunk } })));
  };
  return {
    insert: (messages) => write(messages.map(put)),
    insertKeyed: (messages) => write(messages.map(put)),
    remove: (ids) => write(ids.map((id) => ({ DeleteRequest: { Key: { msgid: { S: id } } } }))),
    close: async () => db.destroy(),
  };
};
