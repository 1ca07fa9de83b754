import { compareText } from '../shared/order';
import { seenDay, Sweep } from '../shared/unseen';
import type { Position, PositionStore, Purged } from '../store';
import { readAll, writeAll, type Write } from './batches';
import type { Client } from './client';
import { isPlainKey, keyText } from './keys';
import { pooled } from './pool';
import { TopicIndex } from './topic-index';
import { number, numberOf, text, textOf, type Item } from './values';

const TABLE = 'mqtt_acked';

const keyOf = (consumer: string, topic: string): Item => ({ topic: text(keyText(topic)), clientid: text(keyText(consumer)) });

/** mqtt_acked, which is keyed by topic and consumer, and mqtt_acked_topic: each consumer's topics in order. */
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

  /** An entry whose position has just gone is passed over. */
  async listPositions(consumer: string, after: string, limit: number): Promise<Position[]> {
    const found: Position[] = [];
    for (let from = after; found.length < limit; ) {
      const wanted = limit - found.length;
      const topics = await this.index.list([keyText(consumer)], { prefix: '', after: from, limit: wanted, accepts: () => true });
      const positions = await this.getPositions(consumer, topics);
      found.push(...positions.sort((a, b) => compareText(a.topic, b.topic)));
      const last = topics.at(-1);
      if (last === undefined || topics.length < wanted) break;
      from = last;
    }
    return found;
  }

  async positionsOfTopic(topic: string): Promise<Position[]> {
    const query = { KeyConditionExpression: 'topic = :t', ExpressionAttributeValues: { ':t': text(keyText(topic)) } };
    const found: Position[] = [];
    for await (const items of this.client.query(TABLE, query)) found.push(...items.flatMap(toPosition));
    return found.sort((a, b) => compareText(a.consumer, b.consumer));
  }

  async putPositions(positions: readonly Position[]): Promise<void> {
    const last = [...new Map(positions.map((each) => [JSON.stringify([each.consumer, each.topic]), each])).values()];
    const isGone = ({ id, receipts }: Position): boolean => id === '' && receipts.length === 0;
    const gone = last.filter(isGone);
    const kept = last.filter((position) => !isGone(position));
    await writeAll(this.client, [
      ...kept.map((position): Write => ({ table: TABLE, put: toItem(position) })),
      ...gone.map(({ consumer, topic }): Write => ({ table: TABLE, remove: keyOf(consumer, topic) })),
    ]);
    await this.index.add(kept.map(({ consumer, topic }) => ({ partition: keyText(consumer), topic })));
    await pooled(gone, ({ consumer, topic }) => this.index.leave(keyText(consumer), topic, () => this.isAbsent(consumer, topic)));
  }

  /** An item without seen_at, as EMQX's are, counts from now. One that changes meanwhile stays. */
  purgePositions(before: number, limit: number): Promise<Purged> {
    return this.sweep.run(limit, async (items) => {
      const unknown = items.filter((item) => item['seen_at'] === undefined);
      await pooled(unknown, ({ topic, clientid }) =>
        this.client.update(TABLE, { topic: topic!, clientid: clientid! }, {
          ...{ update: 'SET seen_at = :now', condition: 'attribute_exists(topic) AND attribute_not_exists(seen_at)' },
          values: { ':now': number(seenDay({ receipts: [] }, Date.now())) },
        }),
      );
      const due = items.filter((item) => (numberOf(item['seen_at']) ?? Infinity) <= before);
      const removed = await pooled(due, async ({ topic, clientid, topic_full }) => {
        const on = { condition: 'seen_at <= :before', values: { ':before': number(before) } };
        if ((await this.client.delete(TABLE, { topic: topic!, clientid: clientid! }, on)) === false) return 0;
        await this.index.leave(textOf(clientid) ?? '', textOf(topic_full ?? topic) ?? '', async () => (await this.client.get(TABLE, { topic: topic!, clientid: clientid! }, ['topic'])) === null);
        return 1;
      });
      return removed.reduce<number>((sum, each) => sum + each, 0);
    });
  }

  private async isAbsent(consumer: string, topic: string): Promise<boolean> {
    return (await this.client.get(TABLE, keyOf(consumer, topic), ['topic'])) === null;
  }
}

function toItem({ consumer, topic, id, receipts }: Position): Item {
  return {
    ...keyOf(consumer, topic),
    ...(!isPlainKey(consumer) && { clientid_full: text(consumer) }),
    ...(!isPlainKey(topic) && { topic_full: text(topic) }),
    ...(id !== '' && { msgid: text(id) }),
    ...(receipts.length > 0 && { receipts: { L: receipts.map(text) } }),
    seen_at: number(seenDay({ receipts }, Date.now())),
  };
}

/** An item of EMQX's without a message id says nothing. */
function toPosition(item: Item): Position[] {
  const id = textOf(item['msgid']) ?? '';
  const receipts = (item['receipts']?.L ?? []).map((each) => textOf(each) ?? '');
  if (id === '' && receipts.length === 0) return [];
  const [consumer, topic] = [textOf(item['clientid_full'] ?? item['clientid']) ?? '', textOf(item['topic_full'] ?? item['topic']) ?? ''];
  return [{ consumer, topic, id, receipts }];
}
