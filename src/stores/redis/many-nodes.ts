import type { Message, MessageRef } from '../../mqtt/message';
import type { Database } from './database';
import type { Keys } from './keys';
import type { MessageIndex } from './message-index';
import { BURY } from './message-scripts';
import type { MessageWriter } from './message-writer';
import { toFields } from './rows';
import { CREATE } from './scripts';

/**
 * Writes to a cluster, where the keys of a message are on several nodes, so that no script can write them all.
 *
 * save() enters a message in Keys.lives, then writes its hash, and then the entries that find it, so that a reader
 * never finds an id without a message. Promises 2 and 3 also hold when another process handles an acknowledgement at
 * the same time. remove() first writes its tombstones and then removes the messages; save() first writes the messages
 * and then looks for tombstones. Whichever looks last sees what the other has written. The first step of save() looks,
 * too, so that a removed message does not become visible for a moment.
 *
 * The entry in Keys.lives is the first that is written and the last that goes. If a server dies between two steps, the
 * queue hands its batch to another one. Even without that, the purge finds what is left when the message or its
 * tombstone has expired.
 */
export class ManyNodes implements MessageWriter {
  constructor(
    private readonly db: Database,
    private readonly keys: Keys,
    private readonly index: MessageIndex,
  ) {}

  async save(messages: readonly Message[], now: number): Promise<void> {
    const gone = await this.index.begin(messages, now);
    const kept = messages.filter(({ id }) => !gone.has(id));
    // An earlier save of a removed message may have ended before it looked again, and have left it there.
    if (gone.size > 0) await this.removeStored(messages.filter(({ id }) => gone.has(id)));
    if (kept.length === 0) return;
    await this.db.all(kept.map((message) => ['EVAL', CREATE, 1, this.keys.message(message.id), ...toFields(message)]));
    await this.index.add(kept);
    // begin() again: a removal or a purge of the same message may have come meanwhile.
    const [, late] = await Promise.all([this.index.addTopics(kept), this.index.begin(kept, now)]);
    if (late.size > 0) await this.removeStored(kept.filter(({ id }) => late.has(id)));
  }

  async remove(refs: readonly MessageRef[], now: number, tombstoneUntil: number | null): Promise<number> {
    const ids = refs.map(({ id }) => id);
    if (tombstoneUntil !== null) {
      await this.db.one('EVAL', BURY, 1, this.keys.lives, tombstoneUntil, ...ids);
      return this.removeStored(refs);
    }
    const removed = await this.removeStored(refs);
    await this.index.end(ids, now);
    return removed;
  }

  /** Removes the entries that find a message before the message, in the opposite order to save(). */
  private async removeStored(refs: readonly MessageRef[]): Promise<number> {
    await this.index.remove(refs);
    const deleted = await this.db.all<number>(refs.map(({ id }) => ['DEL', this.keys.message(id)]));
    await this.index.removeTopics(refs);
    return deleted.reduce((sum, n) => sum + n, 0);
  }

  /** save() writes the entry before the hash. So a reader that has seen the new hash sees the new entry, too. */
  async dueTopicsOf(ids: readonly string[], now: number): Promise<(string | null)[]> {
    const topics = await this.db.all<string | null>(ids.map((id) => ['HGET', this.keys.message(id), 'topic']));
    const scores = await this.db.all<string | null>(ids.map((id) => ['ZSCORE', this.keys.lives, id]));
    return topics.map((topic, i) => (Math.abs(Number(scores[i] ?? 0)) <= now ? topic : null));
  }
}
