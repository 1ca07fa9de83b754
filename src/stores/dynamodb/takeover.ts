import type { CreateTableCommandInput } from '@aws-sdk/client-dynamodb';
import type { TakeoverCount } from '../../base/migration';
import { split } from '../../base/split';
import { firstOfEachId } from '../shared/first-of-each';
import { readAll, replaceItem, writeAll } from './batches';
import { projection, type Client } from './client';
import { keyText } from './keys';
import { MessageIndex } from './message-index';
import { pooled } from './pool';
import { Removals } from './removals';
import { secondsToMs } from './rows';
import { checkFits, type Tables } from './tables';
import { changes, hexTime } from './takeover-ids';
import { TopicIndex, type Place } from './topic-index';
import { TopicList } from './topic-list';
import { number, numberOf, text, textOf, type Item } from './values';

const MAP: CreateTableCommandInput = {
  TableName: 'mqtt_topic_msg_map',
  KeySchema: [{ AttributeName: 'topic', KeyType: 'HASH' }],
  AttributeDefinitions: [{ AttributeName: 'topic', AttributeType: 'S' }],
};
const PROGRESS = 'mqtt_offline_migration';
const NOT_DONE = { condition: 'attribute_not_exists(#done)', names: { '#done': 'done' } };
const PAGE = 1_000;

/** One table to read, and what to do with each page of it. */
interface Pass {
  readonly table: string;
  readonly attributes: readonly string[];
  /** An attribute that the server's items have and EMQX's own items lack. */
  readonly without: string | null;
  readonly work: (items: Item[]) => Promise<void>;
  /** Removes the entries of those items that are not there any more; null if the pass makes no entries. */
  readonly tidy: ((items: Item[]) => Promise<void>) | null;
}

/**
 * Keeps the items of EMQX's own plugin and adds their entries to the server's tables. Every pass may be repeated, even
 * by two servers at once. The progress of each pass is noted, so that a large table is not read twice. If another server
 * has finished the pass meanwhile, it may work already, and have deleted items whose entries were just written.
 */
export class Takeover {
  private readonly index: MessageIndex;
  private readonly topics: TopicList;
  private readonly retainedTopics: TopicList;
  private readonly consumers: TopicIndex;

  constructor(
    private readonly client: Client,
    private readonly tables: Tables,
  ) {
    this.index = new MessageIndex(client);
    this.topics = new TopicList(client, 'mqtt_topic');
    this.retainedTopics = new TopicList(client, 'mqtt_retain_topic');
    this.consumers = new TopicIndex(client, 'mqtt_acked_topic', 'consumer_key');
  }

  /**
   * Called before anything is created.
   * @throws RefusedError
   */
  async check(): Promise<void> {
    const map = await this.tables.describe('mqtt_topic_msg_map');
    if (map !== null) checkFits(MAP, map);
  }

  /** Reads all keys of EMQX's tables. Changes nothing. */
  async count(): Promise<TakeoverCount[]> {
    const counts: TakeoverCount[] = [];
    for (const { table, without } of await this.passes()) {
      if ((await this.tables.describe(table)) === null) continue;
      const filter =
        without === null ? {} : { FilterExpression: 'attribute_not_exists(#without)', ExpressionAttributeNames: { '#without': without } };
      let rows = 0;
      for (let start: Item | undefined, isFirst = true; isFirst || start !== undefined; isFirst = false) {
        const page = {
          TableName: this.client.table(table),
          Select: 'COUNT' as const,
          ...filter,
          ...(start && { ExclusiveStartKey: start }),
        };
        const { Count = 0, LastEvaluatedKey } = await this.client.call((db) => db.scan(page));
        rows += Count;
        start = LastEvaluatedKey;
      }
      counts.push({ table, rows });
    }
    return counts;
  }

  /** `onItems` hears after each page how many items it had. */
  async run(onItems: (items: number) => void): Promise<void> {
    for (const pass of await this.passes()) await this.pass(pass, onItems);
  }

  private async passes(): Promise<Pass[]> {
    const passes: Pass[] = [
      {
        ...{ table: 'mqtt_msg', attributes: ['msgid', 'topic', 'arrived'], without: 'published_at' },
        ...{ work: (items) => this.messages(items), tidy: (items) => this.tidyMessages(items) },
      },
      {
        ...{ table: 'mqtt_retain', attributes: ['topic', 'msgid', 'arrived'], without: 'published_at' },
        ...{ work: (items) => this.retained(items), tidy: (items) => this.tidyRetained(items) },
      },
      {
        ...{ table: 'mqtt_acked', attributes: ['topic', 'clientid', 'topic_full', 'clientid_full'], without: null },
        ...{ work: (items) => this.positions(items), tidy: (items) => this.tidyPositions(items) },
      },
      {
        ...{ table: 'mqtt_client', attributes: ['clientid', 'online_at', 'offline_at'], without: 'changed_at' },
        ...{ work: (items) => this.clients(items), tidy: null },
      },
    ];
    // The map comes first, because it may know the topic of a message that does not contain it.
    const map: Pass = {
      ...{ table: 'mqtt_topic_msg_map', attributes: ['topic', 'MsgId'], without: null },
      ...{ work: (items) => this.map(items), tidy: null },
    };
    if ((await this.tables.describe(map.table)) !== null) passes.unshift(map);
    return passes;
  }

  private async pass({ table, attributes, without, work, tidy }: Pass, onItems: (items: number) => void): Promise<void> {
    const key = { name: text(`take over ${table}`) };
    const progress = await this.client.get(PROGRESS, key);
    if (progress?.['done']?.BOOL === true) return;
    const { ExpressionAttributeNames: names, ...projected } = projection(attributes);
    const filter = without === null ? {} : { FilterExpression: 'attribute_not_exists(#without)' };
    const input = {
      ...{ TableName: this.client.table(table), Limit: PAGE, ConsistentRead: true, ...projected, ...filter },
      ExpressionAttributeNames: { ...names, ...(without !== null && { '#without': without }) },
    };
    for (let start: Item | undefined = progress?.['next']?.M; ;) {
      const { Items = [], LastEvaluatedKey } = await this.client.call((db) =>
        db.scan({ ...input, ...(start && { ExclusiveStartKey: start }) }),
      );
      await work(Items);
      onItems(Items.length);
      start = LastEvaluatedKey;
      const state: Item = start === undefined ? { done: { BOOL: true } } : { next: { M: start } };
      if ((await this.client.put(PROGRESS, { ...key, ...state }, NOT_DONE)) === false) return tidy?.(Items);
      if (start === undefined) return;
    }
  }

  private async map(items: readonly Item[]): Promise<void> {
    for (const item of items) {
      for (const ids of split(item['MsgId']?.SS ?? [], PAGE)) {
        const keys = ids.filter((id) => id !== '').map((id) => ({ msgid: text(id) }));
        const without = (await readAll(this.client, 'mqtt_msg', keys, ['msgid', 'topic'])).filter(({ topic }) => textOf(topic) === null);
        await pooled(without, ({ msgid }) =>
          this.client.update(
            'mqtt_msg',
            { msgid: msgid! },
            { update: 'SET topic = :t', condition: 'attribute_exists(msgid)', values: { ':t': item['topic']! } },
          ),
        );
      }
    }
  }

  /**
   * A message without a topic can't be delivered. It stays, but is not listed.
   *
   * A page has a message twice, under its old and its new id, if another server that starts at the same time is just renaming it.
   */
  private async messages(items: readonly Item[]): Promise<void> {
    const changed = changes(items);
    await writeAll(
      this.client,
      firstOfEachId(changed).map((each) => this.index.addition(each)),
    );
    await pooled(
      changed.filter(({ old, id }) => old !== id),
      ({ old, id }) => this.rename(old, id),
    );
    await this.topics.add(changed.map(({ topic }) => topic));
  }

  private async tidyMessages(items: readonly Item[]): Promise<void> {
    const changed = firstOfEachId(changes(items));
    const stored = await new Removals(this.client, this.index).stored(changed.map(({ id }) => id));
    await writeAll(
      this.client,
      changed.filter(({ id }) => !stored.has(id)).map(({ topic, id }) => this.index.removal({ topicKey: keyText(topic), id })),
    );
    await this.topics.leave(
      changed.map(({ topic }) => topic),
      (topic) => this.index.isEmpty(topic),
    );
  }

  /**
   * The id is the key, so a new id needs a new item. The old item is deleted in the same moment. So only one server
   * renames it, and no server writes the new item again after another one has delivered and removed it.
   */
  private async rename(old: string, id: string): Promise<void> {
    const key = { msgid: text(old) };
    const item = await this.client.get('mqtt_msg', key);
    if (item !== null) await replaceItem(this.client, 'mqtt_msg', key, { ...item, msgid: text(id), msgid_before: text(old) });
  }

  /** The newest message of a topic is the one with the greatest id. A message without an id gets one from its time. */
  private async retained(items: readonly Item[]): Promise<void> {
    await pooled(
      items.filter(({ msgid }) => (textOf(msgid) ?? '') === ''),
      (item) => {
        const id = text(hexTime(item) + '0'.repeat(16));
        const condition = 'attribute_exists(topic) AND (attribute_not_exists(msgid) OR msgid = :none)';
        return this.client.update(
          'mqtt_retain',
          { topic: item['topic']! },
          { update: 'SET msgid = :id', condition, values: { ':id': id, ':none': text('') } },
        );
      },
    );
    await this.retainedTopics.add(items.map(({ topic }) => textOf(topic) ?? ''));
  }

  private async tidyRetained(items: readonly Item[]): Promise<void> {
    await this.retainedTopics.leave(
      items.map(({ topic }) => textOf(topic) ?? ''),
      (topic) => this.isMissing('mqtt_retain', { topic: text(topic) }),
    );
  }

  private positions(items: readonly Item[]): Promise<void> {
    return this.consumers.add(items.map(placeOf));
  }

  private tidyPositions(items: readonly Item[]): Promise<void> {
    return this.consumers.leave(items.map(placeOf), ({ partition, topic }) =>
      this.isMissing('mqtt_acked', { topic: text(keyText(topic)), clientid: text(partition) }),
    );
  }

  private async isMissing(table: string, key: Item): Promise<boolean> {
    return (await this.client.get(table, key, Object.keys(key))) === null;
  }

  /** An event that is older than what EMQX wrote must not replace it. */
  private async clients(items: readonly Item[]): Promise<void> {
    await pooled(items, async (item) => {
      const at = secondsToMs(Math.max(numberOf(item['online_at']) ?? 0, numberOf(item['offline_at']) ?? 0)) ?? 0;
      const on = {
        update: 'SET changed_at = :at',
        condition: 'attribute_exists(clientid) AND attribute_not_exists(changed_at)',
        values: { ':at': number(at) },
      };
      if (at > 0) await this.client.update('mqtt_client', { clientid: item['clientid']! }, on);
    });
  }
}

const placeOf = (item: Item): Place => ({
  partition: keyText(textOf(item['clientid_full'] ?? item['clientid']) ?? ''),
  topic: textOf(item['topic_full'] ?? item['topic']) ?? '',
});
