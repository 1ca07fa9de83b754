import type { types } from 'cassandra-driver';
import type { MessageRef } from '../../mqtt/message';
import type { Bound, Database } from './database';
import { byTopic } from './groups';
import type { Heads } from './head';
import { fitsKey, toNumber, type Stored } from './rows';
import { checkLanded, removalTimestamp } from './timestamps';
import type { Tombstones } from './tombstones';

interface StoredRow {
  readonly msgid: string;
  readonly expires_at: types.Long | null;
  readonly at: types.Long | null;
}

/** Removes messages by their topics and ids, and never reads a payload. */
export class MessageRemover {
  constructor(
    private readonly db: Database,
    private readonly parts: { readonly tombstones: Tombstones; readonly heads: Heads },
  ) {}

  /**
   * For each topic one read, to count what is stored, and one write with the tombstones and the deletion. What is not
   * stored is deleted as well, because a message may arrive after its acknowledgement (promise 3).
   */
  async remove(refs: readonly MessageRef[], until: number, now: number): Promise<number> {
    const start = Date.now();
    const unique = [...new Map(refs.map(({ topic, id }) => [JSON.stringify([topic, id]), { topic, id }])).values()];
    const groups = byTopic(unique.filter(({ topic }) => fitsKey(topic)));
    const counts = await this.db.wave(groups, async (group) => {
      const stored = await this.stored(group);
      if (until > now) await this.bury(group, stored, until, now);
      else await this.erase(stored);
      return stored.length;
    });
    checkLanded(start);
    await this.parts.heads.note(groups.flat().map(({ topic }) => topic));
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /** The deletion is also later than what is stored, which a server with a clock far ahead may have written. */
  private async bury(group: readonly MessageRef[], stored: readonly Stored[], until: number, now: number): Promise<void> {
    const ids = group.map(({ id }) => id);
    const timestamp = Math.max(removalTimestamp(ids, until, this.db.timestamp()), ...stored.map(({ at }) => at ?? 0));
    await this.db.writeTogether([
      ...group.map((ref) => this.parts.tombstones.statement(ref, until, now)),
      deletionOf(group[0]?.topic ?? '', ids, timestamp),
    ]);
  }

  /** Deletes expired messages, but at most `most`. @returns how many, and whether these were all. */
  async expire(refs: readonly MessageRef[], now: number, most: number): Promise<{ removed: number; isDone: boolean }> {
    const found = await this.db.wave(byTopic(refs.filter(({ topic }) => fitsKey(topic))), (group) => this.stored(group));
    const due = found.flat().filter(({ expiresAt }) => expiresAt !== null && expiresAt <= now);
    const taken = due.slice(0, most);
    await this.db.wave(byTopic(taken), (group) => this.erase(group));
    await this.parts.heads.note(taken.map(({ topic }) => topic));
    return { removed: taken.length, isDone: taken.length === due.length };
  }

  private async stored(group: readonly MessageRef[]): Promise<Stored[]> {
    const topic = group[0]?.topic ?? '';
    const rows = await this.db.rows<StoredRow>(
      'SELECT msgid, expires_at, writetime(published_at) AS at FROM mqtt_msg WHERE topic = ? AND msgid IN ?',
      [topic, group.map(({ id }) => id)],
    );
    return rows.map(({ msgid, expires_at, at }) => ({ topic, id: msgid, expiresAt: toNumber(expires_at), at: toNumber(at) }));
  }

  /** The deletion has the timestamp of the write that it undoes, so that it spares a message that is saved again later. */
  private async erase(stored: readonly Stored[]): Promise<void> {
    const [first] = stored;
    if (first === undefined) return;
    const timestamp = Math.max(...stored.map(({ at }) => at ?? this.db.timestamp()));
    await this.db.writeTogether([
      deletionOf(
        first.topic,
        stored.map(({ id }) => id),
        timestamp,
      ),
    ]);
  }
}

const deletionOf = (topic: string, ids: readonly string[], timestamp: number): Bound => ({
  query: 'DELETE FROM mqtt_msg USING TIMESTAMP ? WHERE topic = ? AND msgid IN ?',
  params: [timestamp, topic, ids],
});
