import { numberKey, NUMBER_BYTES, readNumber } from '../../embedded/keys';
import type { Table } from '../../embedded/table';
import type { Message, MessageRef } from '../../mqtt/message';
import { newestMessages } from '../shared/newest';
import type { Refusal, RetainedStore, TopicQuery } from '../store';
import type { Database } from './database';
import type { Meta } from './meta';
import { bodyOf, toBytes, toMessage } from './rows';
import { TopicIndex } from './topic-index';

/** Retained messages: by topic a number and the message's id, by number the message. Who looks for topics reads no payloads. */
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
    const rows = newestMessages(messages).map((message) => ({ topic: Buffer.from(message.topic), id: Buffer.from(message.id), bytes: toBytes(message) }));
    await this.db.write(() => {
      for (const { topic, id, bytes } of rows) {
        const before = this.index.table.get(topic);
        if (before !== undefined && Buffer.compare(before.subarray(NUMBER_BYTES), id) > 0) continue;
        const number = numberKey(before === undefined ? this.meta.nextNumber() : readNumber(before));
        this.index.table.put(topic, Buffer.concat([number, id]));
        this.table.put(number, bytes);
      }
    });
    return [];
  }

  deleteRetained(refs: readonly MessageRef[]): Promise<void> {
    return this.db.write(() => {
      for (const { topic, id } of refs) {
        const key = Buffer.from(topic);
        const value = this.index.table.get(key);
        if (value === undefined || Buffer.compare(value.subarray(NUMBER_BYTES), Buffer.from(id)) > 0) continue;
        this.index.table.remove(key);
        this.table.remove(value.subarray(0, NUMBER_BYTES));
      }
    });
  }

  async listRetained(query: TopicQuery): Promise<Message[]> {
    const topics = await this.db.read(() => this.index.list(query));
    return this.db.read(() => topics.flatMap((topic) => this.get(topic)));
  }

  private get(topic: string): Message[] {
    const value = this.index.table.get(Buffer.from(topic));
    return value === undefined ? [] : this.read(topic, value);
  }

  /** `value`: what the index has. */
  read(topic: string, value: Buffer): Message[] {
    const bytes = this.table.get(value.subarray(0, NUMBER_BYTES));
    const body = bytes === undefined ? undefined : bodyOf(bytes);
    if (bytes === undefined || body === undefined) return [];
    return [{ ...toMessage(value.toString('utf8', NUMBER_BYTES), topic, bytes, body), retain: true }];
  }
}
