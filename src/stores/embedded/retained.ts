import { numberKey, NUMBER_BYTES, readNumber } from '../../embedded/keys';
import type { Table } from '../../embedded/table';
import type { Message } from '../../mqtt/message';
import { isNewer, newestMessages } from '../shared/newest';
import type { Refusal, RetainedRef, RetainedStore, TopicQuery } from '../store';
import type { Database } from './database';
import type { Meta } from './meta';
import { hasBodyInside, publishReceivedAt, toBytes, toMessage } from './rows';
import { TopicIndex } from './topic-index';

/**
 * Retained messages. One table maps topics to a number and the message's id, the other maps numbers to messages. So a
 * search for topics reads no payloads.
 */
export class Retained implements RetainedStore {
  readonly index: TopicIndex;
  private readonly table: Table;

  constructor(
    private readonly db: Database,
    private readonly meta: Meta,
  ) {
    this.index = new TopicIndex(db, 'retained-topics');
    this.table = db.table('retained');
  }

  async putRetained(messages: readonly Message[]): Promise<Refusal[]> {
    const rows = newestMessages(messages).map((message) => ({ message, topic: Buffer.from(message.topic), bytes: toBytes(message) }));
    await this.db.write(() => {
      for (const { message, topic, bytes } of rows) {
        const before = this.index.table.get(topic);
        if (before !== undefined && this.holdsNewer(before, message)) continue;
        const number = numberKey(before === undefined ? this.meta.nextNumber() : readNumber(before));
        this.index.table.put(topic, Buffer.concat([number, Buffer.from(message.id)]));
        this.table.put(number, bytes);
      }
    });
    return [];
  }

  deleteRetained(refs: readonly RetainedRef[]): Promise<void> {
    return this.db.write(() => {
      for (const ref of refs) {
        const key = Buffer.from(ref.topic);
        const value = this.index.table.get(key);
        if (value === undefined || this.holdsNewer(value, ref)) continue;
        this.index.table.remove(key);
        this.table.remove(value.subarray(0, NUMBER_BYTES));
      }
    });
  }

  /** @param value the topic's value in the index. */
  private holdsNewer(value: Buffer, ref: RetainedRef): boolean {
    const bytes = this.table.get(value.subarray(0, NUMBER_BYTES));
    return bytes !== undefined && isNewer({ id: value.toString('utf8', NUMBER_BYTES), publishReceivedAt: publishReceivedAt(bytes) }, ref);
  }

  async listRetained(query: TopicQuery): Promise<Message[]> {
    const topics = await this.db.read(() => this.index.list(query));
    return this.db.read(() => topics.flatMap((topic) => this.get(topic)));
  }

  private get(topic: string): Message[] {
    const value = this.index.table.get(Buffer.from(topic));
    return value === undefined ? [] : this.read(topic, value);
  }

  /** @param value the topic's value in the index. */
  read(topic: string, value: Buffer): Message[] {
    const bytes = this.table.get(value.subarray(0, NUMBER_BYTES));
    if (bytes === undefined || !hasBodyInside(bytes)) return [];
    return [{ ...toMessage(value.toString('utf8', NUMBER_BYTES), topic, bytes, 0, null), retain: true }];
  }
}
