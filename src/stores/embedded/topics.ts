import { numberKey, readNumber } from '../../embedded/keys';
import type { Table } from '../../embedded/table';
import type { TopicQuery } from '../store';
import type { Database } from './database';
import type { Meta } from './meta';
import { TopicIndex } from './topic-index';

/** Topics with a stored message. Each has a number, which stands for it in keys, and the count of its messages. */
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

  countOf(topic: number): number {
    const value = this.counts.get(numberKey(topic));
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

  /** A topic without messages is deleted. */
  setCount(topic: number, count: number): void {
    const key = numberKey(topic);
    if (count > 0) {
      this.counts.put(key, numberKey(count));
      return;
    }
    const name = this.names.get(key);
    if (name !== undefined) this.index.table.remove(name);
    this.names.remove(key);
    this.counts.remove(key);
  }
}

/** Collects a transaction's changes of counts, so that each topic is written once. */
export class Tally {
  private readonly numbers = new Map<string, number>();
  private readonly changes = new Map<number, number>();

  constructor(private readonly topics: Topics) {}

  /** The number of a topic that gets a message. The topic is created if necessary. */
  numberOf(topic: string): number {
    let number = this.numbers.get(topic);
    if (number === undefined) this.numbers.set(topic, (number = this.topics.find(topic) ?? this.topics.create(topic)));
    return number;
  }

  add(topic: number, change: 1 | -1): void {
    this.changes.set(topic, (this.changes.get(topic) ?? 0) + change);
  }

  write(): void {
    for (const [topic, change] of this.changes) this.topics.setCount(topic, this.topics.countOf(topic) + change);
  }
}
