import { fillPage } from '../shared/fill-page';
import { lastPositions } from '../shared/newest';
import { compareText } from '../shared/order';
import { seenDay, Sweep } from '../shared/unseen';
import { versioned, versionOf } from '../shared/versions';
import type { Position, PositionStore, Purged } from '../store';
import { readAll } from './batches';
import { SOCKETS, type Client } from './client';
import { isPlainKey, keyText } from './keys';
import { pooled } from './pool';
import { TopicIndex } from './topic-index';
import { number, numberOf, text, textOf, type Item } from './values';

const TABLE = 'mqtt_acked';

const keyOf = (consumer: string, topic: string): Item => ({ topic: text(keyText(topic)), clientid: text(keyText(consumer)) });

/** mqtt_acked, whose key is topic and consumer, and mqtt_acked_topic with each consumer's topics in order. */
export class Positions implements PositionStore {
  private readonly index: TopicIndex;
  private readonly sweep: Sweep<Item, Item>;

  constructor(private readonly client: Client) {
    this.sweep = new Sweep((cursor, size) => client.scan(TABLE, ['topic', 'clientid', 'topic_full', 'seen_at'], size, cursor));
    this.index = new TopicIndex(client, 'mqtt_acked_topic', 'consumer_key');
  }

  async getPositions(consumer: string, topics: readonly string[]): Promise<Position[]> {
    const keys = [...new Set(topics)].map((topic) => keyOf(consumer, topic));
    return (await readAll(this.client, TABLE, keys)).flatMap(toPosition);
  }

  listPositions(consumer: string, after: string, limit: number): Promise<Position[]> {
    return fillPage(
      { after, limit },
      (from, most) => this.index.list([keyText(consumer)], { prefix: '', after: from, limit: most, accepts: () => true }),
      async (topics) => (await this.getPositions(consumer, topics)).sort((a, b) => compareText(a.topic, b.topic)),
    );
  }

  async positionsOfTopic(topic: string): Promise<Position[]> {
    const query = { KeyConditionExpression: 'topic = :t', ExpressionAttributeValues: { ':t': text(keyText(topic)) } };
    const found: Position[] = [];
    for await (const items of this.client.query(TABLE, query)) found.push(...items.flatMap(toPosition));
    return found.sort((a, b) => compareText(a.consumer, b.consumer));
  }

  /** A batch write can't have conditions, so each position is a request of its own. Many of them run in parallel. */
  async putPositions(positions: readonly Position[]): Promise<void> {
    const { kept, gone } = lastPositions(positions);
    const written = await pooled([...kept, ...gone], (position) => this.write(position), SOCKETS);
    const stored = kept.filter((_, i) => written[i]);
    const deleted = gone.filter((_, i) => written[kept.length + i]);
    await this.index.add(stored.map(({ consumer, topic }) => ({ partition: keyText(consumer), topic })));
    await this.index.leave(
      deleted.map(({ consumer, topic }) => ({ partition: keyText(consumer), topic })),
      ({ partition, topic }) => this.isAbsent(partition, topic),
    );
  }

  /** @returns false if the stored version is greater. An item without a version, as in EMQX's plugin, has version 0. */
  private async write(position: Position): Promise<boolean> {
    const { consumer, topic } = position;
    const on = {
      condition: 'attribute_not_exists(#version) OR #version <= :version',
      ...{ names: { '#version': 'version' }, values: { ':version': number(versionOf(position)) } },
    };
    const isGone = position.id === '' && position.receipts.length === 0;
    const before = await (isGone ? this.client.delete(TABLE, keyOf(consumer, topic), on) : this.client.put(TABLE, toItem(position), on));
    return before !== false;
  }

  /** An item without seen_at, as in EMQX's plugin, counts as seen now. An item that changes meanwhile stays. */
  purgePositions(before: number, limit: number): Promise<Purged> {
    return this.sweep.run(limit, async (items) => {
      const unknown = items.filter((item) => item['seen_at'] === undefined);
      await pooled(unknown, ({ topic, clientid }) =>
        this.client.update(
          TABLE,
          { topic: topic!, clientid: clientid! },
          {
            ...{ update: 'SET seen_at = :now', condition: 'attribute_exists(topic) AND attribute_not_exists(seen_at)' },
            values: { ':now': number(seenDay({ receipts: [] }, Date.now())) },
          },
        ),
      );
      const due = items.filter((item) => (numberOf(item['seen_at']) ?? Infinity) <= before);
      const removed = await pooled(due, async ({ topic, clientid, topic_full }) => {
        const on = { condition: 'seen_at <= :before', values: { ':before': number(before) } };
        if ((await this.client.delete(TABLE, { topic: topic!, clientid: clientid! }, on)) === false) return 0;
        await this.index.leave([{ partition: textOf(clientid) ?? '', topic: textOf(topic_full ?? topic) ?? '' }], (place) =>
          this.isAbsent(place.partition, place.topic),
        );
        return 1;
      });
      return removed.reduce<number>((sum, each) => sum + each, 0);
    });
  }

  private async isAbsent(consumerKey: string, topic: string): Promise<boolean> {
    return (await this.client.get(TABLE, { topic: text(keyText(topic)), clientid: text(consumerKey) }, ['topic'])) === null;
  }
}

function toItem(position: Position): Item {
  const { consumer, topic, id, receipts } = position;
  const version = versionOf(position);
  return {
    ...keyOf(consumer, topic),
    ...(!isPlainKey(consumer) && { clientid_full: text(consumer) }),
    ...(!isPlainKey(topic) && { topic_full: text(topic) }),
    ...(id !== '' && { msgid: text(id) }),
    ...(receipts.length > 0 && { receipts: { L: receipts.map(text) } }),
    ...(version > 0 && { version: number(version) }),
    seen_at: number(seenDay({ receipts }, Date.now())),
  };
}

/** An item of EMQX's plugin without a message id contains no position. */
function toPosition(item: Item): Position[] {
  const id = textOf(item['msgid']) ?? '';
  const receipts = (item['receipts']?.L ?? []).map((each) => textOf(each) ?? '');
  if (id === '' && receipts.length === 0) return [];
  const [consumer, topic] = [textOf(item['clientid_full'] ?? item['clientid']) ?? '', textOf(item['topic_full'] ?? item['topic']) ?? ''];
  return [{ consumer, topic, id, receipts, ...versioned(numberOf(item['version'])) }];
}
