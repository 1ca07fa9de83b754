import type { Message } from '../../mqtt/message';
import { readAll, type Write } from './batches';
import type { Client } from './client';
import { bucketOf, keyText } from './keys';
import { MOST_COUNTED } from '../store';
import { number, numberOf, text, textOf, type Item } from './values';

const TABLE = 'mqtt_topic_msg';
/** Up to this number messages are counted exactly: 7 pages of 1 MB. */
const EXACT_COUNT = 50_000;

const OF_TOPIC = 'topic_key = :topic';
const NOT_EXPIRED = '(attribute_not_exists(expires_at) OR expires_at > :now)';

/** Tells which message belongs to which topic. */
export interface Entry {
  readonly topicKey: string;
  readonly id: string;
  /** Set if the entry was found by its expiry. */
  readonly expiresAt?: number | null;
}

export interface EntryPage {
  readonly entries: Entry[];
  readonly next: Item | null;
}

/**
 * mqtt_topic_msg: the ids of each topic's messages in order. Its items are small, whatever the size of the messages.
 */
export class MessageIndex {
  constructor(private readonly client: Client) {}

  addition({ topic, id, expiresAt }: Pick<Message, 'topic' | 'id' | 'expiresAt'>): Write {
    const expiry: Item = expiresAt === null ? {} : { expires_at: number(expiresAt), expiry_bucket: number(bucketOf(id)) };
    return { table: TABLE, put: { topic_key: text(keyText(topic)), msgid: text(id), ...expiry } };
  }

  removal({ topicKey, id }: Entry): Write {
    return { table: TABLE, remove: { topic_key: text(topicKey), msgid: text(id) } };
  }

  /** Ids that have not expired, in order. `next` is the last one that was checked; null at the end. */
  async living(topic: string, after: string, limit: number, now: number): Promise<{ ids: string[]; next: string | null }> {
    const query = {
      KeyConditionExpression: after === '' ? OF_TOPIC : `${OF_TOPIC} AND msgid > :after`,
      FilterExpression: NOT_EXPIRED,
      ExpressionAttributeValues: { ':topic': text(keyText(topic)), ':now': number(now), ...(after !== '' && { ':after': text(after) }) },
      Limit: limit,
    };
    const { items, next } = await this.client.page(TABLE, query, null);
    return { ids: items.map((item) => textOf(item['msgid']) ?? ''), next: textOf(next?.['msgid']) };
  }

  /** The topic keys of those entries that exist. No entry may occur twice. */
  async keysOfStored(entries: readonly Entry[]): Promise<ReadonlySet<string>> {
    const keys = entries.map(({ topicKey, id }) => ({ topic_key: text(topicKey), msgid: text(id) }));
    return new Set((await readAll(this.client, TABLE, keys, ['topic_key'])).map((item) => textOf(item['topic_key']) ?? ''));
  }

  async isEmpty(topic: string): Promise<boolean> {
    const query = {
      KeyConditionExpression: OF_TOPIC,
      ExpressionAttributeValues: { ':topic': text(keyText(topic)) },
      Limit: 1,
      Select: 'COUNT' as const,
    };
    return (await this.client.page(TABLE, query, null)).count === 0;
  }

  /** The number of the topic's entries, at most MOST_COUNTED. */
  async countOf(topic: string): Promise<number> {
    const query = {
      KeyConditionExpression: OF_TOPIC,
      ExpressionAttributeValues: { ':topic': text(keyText(topic)) },
      Select: 'COUNT' as const,
    };
    let counted = 0;
    for (let start: Item | null = null; counted < MOST_COUNTED;) {
      const page: { count: number; next: Item | null } = await this.client.page(TABLE, { ...query, Limit: MOST_COUNTED - counted }, start);
      counted += page.count;
      start = page.next;
      if (start === null) break;
    }
    return counted;
  }

  /** Ids of some messages of the bucket that expire next. */
  async expiringNext(bucket: number, now: number): Promise<string[]> {
    const query = {
      IndexName: 'by_expiry',
      KeyConditionExpression: 'expiry_bucket = :bucket AND expires_at > :now',
      ExpressionAttributeValues: { ':bucket': number(bucket), ':now': number(now) },
      Limit: 4,
    };
    return (await this.client.page(TABLE, query, null)).items.flatMap((item) => textOf(item['msgid']) ?? []);
  }

  /**
   * The oldest id among the newest `keep`; null if the topic has no more messages than these. Reads the entries of
   * these messages.
   */
  async oldestKept(topic: string, keep: number): Promise<string | null> {
    const values = { ':topic': text(keyText(topic)) };
    const query = {
      KeyConditionExpression: OF_TOPIC,
      ExpressionAttributeValues: values,
      ScanIndexForward: false,
      Select: 'COUNT' as const,
    };
    let start: Item | null = null;
    for (let left = keep; left > 0;) {
      const { count, next }: { count: number; next: Item | null } = await this.client.page(TABLE, { ...query, Limit: left }, start);
      if (next === null) return null;
      left -= count;
      start = next;
    }
    return textOf(start?.['msgid']);
  }

  /** The topic's entries in order: all, or those before an id. */
  async *before(topic: string, id: string | null): AsyncGenerator<Entry[]> {
    const query = {
      KeyConditionExpression: id === null ? OF_TOPIC : `${OF_TOPIC} AND msgid < :id`,
      ExpressionAttributeValues: { ':topic': text(keyText(topic)), ...(id !== null && { ':id': text(id) }) },
      Limit: 500,
    };
    for await (const items of this.client.query(TABLE, query)) yield items.map(toEntry);
  }

  /** Expired entries. They come from an index, which may lag a moment behind. */
  async expired(bucket: number, now: number, limit: number, start: Item | null): Promise<EntryPage> {
    const query = {
      IndexName: 'by_expiry',
      KeyConditionExpression: 'expiry_bucket = :bucket AND expires_at <= :now',
      ExpressionAttributeValues: { ':bucket': number(bucket), ':now': number(now) },
      Limit: limit,
    };
    const { items, next } = await this.client.page(TABLE, query, start);
    return { entries: items.map(toEntry), next };
  }

  /** DynamoDB's own number, which may be 6 hours old, unless counting is cheap. */
  async count(): Promise<number> {
    const TableName = this.client.table(TABLE);
    const { Table } = await this.client.call((db) => db.describeTable({ TableName }));
    const estimate = Table?.ItemCount ?? 0;
    if (estimate > EXACT_COUNT) return estimate;
    let counted = 0;
    for (let start: Item | undefined; counted <= EXACT_COUNT;) {
      const input = { TableName, Select: 'COUNT' as const, ConsistentRead: true, ...(start && { ExclusiveStartKey: start }) };
      const page = await this.client.call((db) => db.scan(input));
      counted += page.Count ?? 0;
      start = page.LastEvaluatedKey;
      if (start === undefined) return counted;
    }
    return counted;
  }
}

const toEntry = (item: Item): Entry => ({
  topicKey: textOf(item['topic_key']) ?? '',
  id: textOf(item['msgid']) ?? '',
  expiresAt: numberOf(item['expires_at']),
});
