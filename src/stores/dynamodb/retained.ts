import { RefusedError } from '../../base/errors';
import type { Message } from '../../mqtt/message';
import { fillTopics } from '../shared/fill-page';
import { newestMessages } from '../shared/newest';
import type { Refusal, RetainedRef, RetainedStore, TopicQuery } from '../store';
import { readAll, writeAll } from './batches';
import type { Client } from './client';
import { isPlainKey, keyText } from './keys';
import { incomplete, partsOf, partRemovals, partWrites, readParts, retainedOwner } from './parts';
import { pooled } from './pool';
import { partsIn, toMessage, toRow } from './rows';
import { TopicList } from './topic-list';
import { number, text, textOf, type Item } from './values';

const TABLE = 'mqtt_retain';
const PAYLOAD_CONCURRENCY = 4;
const notNewerThan = ({ id, publishReceivedAt }: RetainedRef) => ({
  condition:
    'attribute_not_exists(msgid) OR attribute_not_exists(published_at) OR published_at < :at OR (published_at = :at AND msgid <= :id)',
  values: { ':id': text(id), ':at': number(publishReceivedAt) },
});

const keyOf = (topic: string): Item => ({ topic: text(keyText(topic)) });

/** mqtt_retain, and mqtt_retain_topic with its topics in order. */
export class Retained implements RetainedStore {
  private readonly topicList: TopicList;

  constructor(private readonly client: Client) {
    this.topicList = new TopicList(client, 'mqtt_retain_topic');
  }

  async putRetained(messages: readonly Message[]): Promise<Refusal[]> {
    const newest = newestMessages(messages);
    const outcomes = await pooled(newest, (message) => this.putOne(message));
    await this.topicList.add(newest.filter((_, i) => outcomes[i] === null).map(({ topic }) => topic));
    return outcomes.filter((refusal) => refusal !== null);
  }

  private async putOne(message: Message): Promise<Refusal | null> {
    try {
      const { item, outside } = toRow(message, partsOf);
      const owner = retainedOwner(message.id);
      await writeAll(this.client, partWrites(owner, outside));
      const full: Item = isPlainKey(message.topic) ? {} : { topic_full: text(message.topic) };
      const old = await this.client.put(TABLE, { ...item, ...keyOf(message.topic), ...full }, notNewerThan(message));
      // The parts of a message that was not stored, or that another message has replaced, are deleted.
      if (old === false) await writeAll(this.client, partRemovals(owner, partsIn(item)));
      else if (old !== null && textOf(old['msgid']) !== message.id) await this.removePartsOf(old);
      return null;
    } catch (error) {
      if (error instanceof RefusedError) return { id: message.id, reason: error.message };
      throw error;
    }
  }

  async deleteRetained(refs: readonly RetainedRef[]): Promise<void> {
    await pooled(refs, async (ref) => {
      const old = await this.client.delete(TABLE, keyOf(ref.topic), notNewerThan(ref));
      if (old !== null && old !== false) await this.removePartsOf(old);
    });
    await this.topicList.leave(
      refs.map(({ topic }) => topic),
      async (topic) => (await this.client.get(TABLE, keyOf(topic), ['topic'])) === null,
    );
  }

  listRetained(query: TopicQuery): Promise<Message[]> {
    return fillTopics(query, this.topicList, (topics) => this.read(topics));
  }

  private async read(topics: readonly string[]): Promise<Message[]> {
    const items = await readAll(this.client, TABLE, topics.map(keyOf));
    const byKey = new Map(items.map((item) => [textOf(item['topic']), item]));
    const found = await pooled(
      topics.map((topic) => byKey.get(keyText(topic))).filter((item) => item !== undefined),
      (item) => this.whole(item),
      PAYLOAD_CONCURRENCY,
    );
    return found.filter((message) => message !== null);
  }

  /**
   * Repeated until the message was read completely, because a newer one may replace it and delete its parts at any
   * time.
   */
  private async whole(item: Item): Promise<Message | null> {
    const [id, count] = [textOf(item['msgid']) ?? '', partsIn(item)];
    const message = (payload: Buffer | null) => ({
      ...toMessage({ ...item, topic: item['topic_full'] ?? item['topic']! }, payload),
      retain: true,
    });
    if (count === 0) return message(null);
    const payload = await readParts(this.client, retainedOwner(id), count);
    if (payload !== null) return message(payload);
    const now = await this.client.get(TABLE, { topic: item['topic']! });
    if (now === null) return null;
    if (textOf(now['msgid']) === id) throw incomplete(id);
    return this.whole(now);
  }

  private async removePartsOf(item: Item): Promise<void> {
    await writeAll(this.client, partRemovals(retainedOwner(textOf(item['msgid']) ?? ''), partsIn(item)));
  }
}
