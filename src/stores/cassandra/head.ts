import type { Database } from './database';
import { GUARD_MS } from './timestamps';

/** How many deletion markers a reader may have to read over before they are combined. */
const STEP = 1_000;
/** How many topics are counted in memory. */
const TOPICS = 10_000;
/**
 * Cassandra keeps a deletion marker for every removed message, and a reader of the topic's start reads over all of them
 * (it gives up at 100,000). So everything before the first remaining message is deleted once more as one range. That
 * one marker hides all others. It covers only what was written more than GUARD_MS ago, because a message with a smaller
 * id may arrive late, or from a server whose clock is behind.
 */
export class Heads {
  private readonly removed = new Map<string, number>();

  constructor(
    private readonly db: Database,
    private readonly guardMs = GUARD_MS,
    private readonly step = STEP,
  ) {}

  async note(topics: readonly string[]): Promise<void> {
    for (const topic of topics) this.removed.set(topic, (this.removed.get(topic) ?? 0) + 1);
    const due = [...new Set(topics)].filter((topic) => (this.removed.get(topic) ?? 0) >= this.step);
    await this.db.wave(due, (topic) => this.sumUp(topic));
    for (const topic of this.removed.keys()) {
      if (this.removed.size <= TOPICS) break;
      this.removed.delete(topic);
    }
  }

  private async sumUp(topic: string): Promise<void> {
    this.removed.delete(topic);
    const before = (Date.now() - this.guardMs) * 1_000;
    const [first] = await this.db.rows<{ msgid: string }>('SELECT msgid FROM mqtt_msg WHERE topic = ? ORDER BY msgid ASC LIMIT 1', [topic]);
    if (first === undefined) await this.db.write('DELETE FROM mqtt_msg WHERE topic = ?', [topic], before);
    else await this.db.write('DELETE FROM mqtt_msg WHERE topic = ? AND msgid < ?', [topic, first.msgid], before);
  }
}
