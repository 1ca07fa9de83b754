import { setImmediate as turn } from 'node:timers/promises';
import { prefixed } from '../../embedded/table';
import type { LongTable } from '../../embedded/long-table';
import { compareText } from '../shared/order';
import { listTopics, type TopicSource } from '../shared/topic-range';
import type { TopicQuery } from '../store';
import { behind, type Database } from './database';

/** Each topic may have up to 65,535 bytes. */
const TOPICS_PER_SCAN = 256;

/** Topics in order, each with a value. */
export class TopicIndex implements TopicSource {
  readonly table: LongTable;

  constructor(
    private readonly db: Database,
    name: string,
  ) {
    this.table = db.longTable(name);
  }

  list(query: TopicQuery): Promise<string[]> {
    return listTopics(query, this);
  }

  has(topic: string): Promise<boolean> {
    return this.db.read(() => this.table.has(Buffer.from(topic)));
  }

  async *behind(after: string, prefix: string): AsyncGenerator<string> {
    let from = compareText(after, prefix) >= 0 ? behind(Buffer.from(after)) : Buffer.from(prefix);
    for (;;) {
      const topics = await this.db.read(() => this.page(from, prefix));
      for (const topic of topics) yield topic.toString();
      const last = topics.at(-1);
      if (last === undefined || topics.length < TOPICS_PER_SCAN) return;
      from = behind(last);
      // If few of many topics match, other work must not wait for the whole scan.
      await turn();
    }
  }

  private page(from: Buffer, prefix: string): Buffer[] {
    const entries =
      prefix === ''
        ? this.table.entries({ from, limit: TOPICS_PER_SCAN })
        : prefixed(this.table, Buffer.from(prefix), { from, limit: TOPICS_PER_SCAN });
    return Array.from(entries, ({ key }) => key);
  }
}
