import { setImmediate as turn } from 'node:timers/promises';
import type { Table } from '../../embedded/table';
import { timeOf } from '../../mqtt/message-id';
import { OLDEST_COMPARED } from '../store';
import { behind, type Database } from './database';
import { messageKey, type Ids } from './ids';
import { publishReceivedAt } from './rows';

/** Entries that are read before others get their turn, and for one answer. */
const ENTRIES_AT_ONCE = 5_000;
const MOST_ENTRIES = 100_000;
const START = Buffer.from([0]);

/**
 * Finds the oldest stored message through the ids of all topics, which ascend with time. Tombstones of removed messages lie before it:
 * `from` remembers how many of them the last search has passed, so that each tombstone is read once.
 */
export class Oldest {
  private from: Buffer = START;

  constructor(
    private readonly db: Database,
    private readonly ids: Ids,
    private readonly rows: Table,
  ) {}

  /** The store saves a message with this id. */
  note(id: Buffer): void {
    if (id.compare(this.from) < 0) this.from = id;
  }

  /** The least time of the first OLDEST_COMPARED messages. If 100,000 tombstones lie before them, the answer is the time of the id that the search has reached. */
  async find(now: number): Promise<number | null> {
    for (let read = 0; ; read += ENTRIES_AT_ONCE) {
      const { at, isEnd } = await this.db.read(() => (this.rows.count === 0 ? { at: null, isEnd: true } : this.look(now)));
      if (isEnd || at !== null) return at;
      if (read >= MOST_ENTRIES) return timeOf(this.from.toString());
      await turn();
    }
  }

  private look(now: number): { at: number | null; isEnd: boolean } {
    let oldest = Infinity;
    let [read, stored] = [0, 0];
    for (const { id, entry } of this.ids.entries(this.from, ENTRIES_AT_ONCE)) {
      read++;
      if (entry.topic === null) {
        if (stored === 0) this.from = behind(id);
        continue;
      }
      stored++;
      const row = (entry.expires ?? Infinity) > now ? this.rows.get(messageKey(entry.topic, id)) : undefined;
      if (row !== undefined) oldest = Math.min(oldest, publishReceivedAt(row));
      if (stored >= OLDEST_COMPARED && oldest < Infinity) break;
    }
    return { at: oldest === Infinity ? null : oldest, isEnd: read < ENTRIES_AT_ONCE || stored > 0 };
  }
}
