import { numberKey, readNumber } from '../../embedded/keys';
import type { Table } from '../../embedded/table';
import type { TopicQuery } from '../store';
import type { Database } from './database';
import type { Meta } from './meta';
import { TopicIndex } from './topic-index';

/**
 * Topics with a stored message. Each has a number, which stands for it in keys, and the count of its messages in the index
 * by topic.
 */
export class Topics {
  readonly index: TopicIndex;
  private readonly names: Table;
  private readonly counts: Table;

  constructor(
    db: Database,
    private readonly meta: Meta,
  ) {
    this.index = new TopicIndex(db, 'topics');
    this.names = db.table('topic-names');
    this.counts = db.table('topic-counts');
  }

  find(topic: string): number | null {
    const value = this.index.table.get(Buffer.from(topic));
    return value === undefined ? null : readNumber(value);
  }

  nameOf(topic: number): string {
    return this.names.get(numberKey(topic))?.toString() ?? '';
  }

  /** How many messages of the topic the index by topic has. */
  indexedOf(topic: number): number {
    const value = this.counts.peek(numberKey(topic));
    return value === undefined ? 0 : readNumber(value);
  }

  list(query: TopicQuery): Promise<string[]> {
    return this.index.list(query);
  }

  /** Creates a topic that has no message yet. */
  create(topic: string): number {
    const number = this.meta.nextNumber();
    this.index.table.put(Buffer.from(topic), numberKey(number));
    this.names.put(numberKey(number), Buffer.from(topic));
    return number;
  }

  setIndexed(topic: number, count: number): void {
    if (count > 0) this.counts.put(numberKey(topic), numberKey(count));
    else this.counts.remove(numberKey(topic));
  }

  /** Deletes a topic that has no message any more. */
  remove(topic: number): void {
    const key = numberKey(topic);
    const name = this.names.get(key);
    if (name !== undefined) this.index.table.remove(name);
    this.names.remove(key);
  }
}
