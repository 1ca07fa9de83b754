import { setImmediate as turn } from 'node:timers/promises';
import { timeOf } from '../../mqtt/message-id';
import { OLDEST_COMPARED } from '../store';
import { behind, type Database } from './database';
import type { Log } from './log';

/** Messages that are read before others get their turn, and for one answer. */
const READ_AT_ONCE = 5_000;
const MOST_READ = 100_000;
const START = Buffer.from([0]);

/** Finds the oldest message that has not expired through the ids of all topics, which ascend with time. */
export class Oldest {
  constructor(
    private readonly db: Database,
    private readonly log: Log,
  ) {}

  /**
   * The least time of the first OLDEST_COMPARED messages. If 100,000 expired messages lie before them, the answer is the
   * time of the id that the search has reached.
   */
  async find(now: number): Promise<number | null> {
    let from: Buffer = START;
    for (let read = 0; ; read += READ_AT_ONCE) {
      const { at, next } = await this.db.read(() => this.look(from, now));
      if (next === null || at !== null) return at;
      if (read >= MOST_READ) return timeOf(next.toString());
      from = next;
      await turn();
    }
  }

  /** `next` is null behind the last message. */
  private look(from: Buffer, now: number): { readonly at: number | null; readonly next: Buffer | null } {
    let oldest = Infinity;
    let [read, living] = [0, 0];
    let next: Buffer | null = null;
    for (const { id, stored } of this.log.entries({ from, limit: READ_AT_ONCE })) {
      read++;
      next = behind(id);
      if (stored.expiresAt <= now) continue;
      oldest = Math.min(oldest, stored.publishReceivedAt);
      if (++living >= OLDEST_COMPARED) break;
    }
    return { at: oldest === Infinity ? null : oldest, next: read < READ_AT_ONCE ? null : next };
  }
}
