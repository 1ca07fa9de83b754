import { groupBy } from '../../base/parallel';
import type { Database } from './database';
import { bytesOf, messageKey } from './ids';
import type { MessageTables } from './message-tables';
import { toHeader } from './rows';

export interface IndexingSizes {
  /** How many messages one transaction puts into the index. Each page that it changes gets several of them. */
  readonly atOnce: number;
  /** How many recent messages stay out of the index, because most messages are removed soon. */
  readonly kept: number;
}

export const INDEXING: IndexingSizes = { atOnce: 8_192, kept: 16_384 };

/** Puts the oldest recent messages into the index by topic when too many messages are recent. */
export class Indexing {
  private running: Promise<void> | null = null;

  constructor(
    private readonly db: Database,
    private readonly tables: MessageTables,
    private readonly sizes: IndexingSizes,
  ) {}

  /** Resolves when fewer than kept + atOnce messages are recent. */
  async keepFew(): Promise<void> {
    const { atOnce, kept } = this.sizes;
    while (this.tables.recent.size >= kept + atOnce) await (this.running ??= this.index());
  }

  private async index(): Promise<void> {
    try {
      const { recent } = this.tables;
      recent.forget(await recent.watch(this.db.write(() => this.indexOldest())));
    } finally {
      this.running = null;
    }
  }

  /** @returns the id up to which all messages are in the index now. */
  private indexOldest(): string {
    const { recent, topics, byTopic } = this.tables;
    recent.begin();
    const oldest = recent.oldest(this.sizes.atOnce);
    for (const [topic, list] of [...groupBy(oldest, ({ topic }) => topic)].sort(([a], [b]) => a - b)) {
      for (const message of list) byTopic.put(messageKey(topic, bytesOf(message.text)), toHeader(message));
      topics.setIndexed(topic, topics.indexedOf(topic) + list.length);
    }
    recent.setIndexed(oldest);
    recent.end(oldest.length > 0);
    return recent.indexedTo;
  }
}
