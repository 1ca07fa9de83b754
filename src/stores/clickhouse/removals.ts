import type { MessageRef } from '../../mqtt/message';
import type { Client } from './client';
import { tick } from './clock';
import { chunks, COVERED, distinct, keyOf } from './keys';
import { list, number } from './literal';
import type { LivingRow } from './living';

/** mqtt_removed. A row removes every row of its message that was stored up to then, and up to the end of its tombstone. */
export class Removals {
  constructor(private readonly db: Client) {}

  /**
   * Removes messages that may be stored or not. What they are is read at the same time, only to be counted.
   * @returns how many of the messages were stored and not removed by an earlier call. A message that several calls remove at the same time
   * may count in each of them.
   */
  async remove(refs: readonly MessageRef[], until: number): Promise<number> {
    const all = distinct(refs);
    const at = tick();
    const rows = all.map(({ topic, id }) => ({ topic, msgid: id, removed_at: at, until: Math.max(until, 0) }));
    const [count] = await Promise.all([this.countStored(all, at), this.db.insert('mqtt_removed', rows)]);
    return count;
  }

  /** Removes messages that are known to be stored, without a tombstone. A removal covers all rows, whatever this machine's clock says. */
  async end(rows: readonly Pick<LivingRow, 'topic' | 'id' | 'lastStoredAt'>[]): Promise<void> {
    const at = tick();
    await this.db.insert(
      'mqtt_removed',
      rows.map(({ topic, id, lastStoredAt }) => ({ topic, msgid: id, removed_at: Math.max(at, lastStoredAt), until: 0 })),
    );
  }

  /** How many of the messages were stored and not yet removed at this time (microseconds). */
  private async countStored(refs: readonly MessageRef[], at: number): Promise<number> {
    let count = 0;
    for (const chunk of chunks(refs, ({ topic, id }) => 2 * (topic.length + id.length))) {
      // The server reads two lists of texts faster than one list of pairs. A pair of one message's topic and another's
      // id is left out below.
      const where = `topic IN ${list([...new Set(chunk.map(({ topic }) => topic))])} AND msgid IN ${list(chunk.map(({ id }) => id))}`;
      const stored = await this.db.rows<MessageRef>(
        `SELECT topic, msgid AS id FROM (
           SELECT topic, msgid, max(s) AS stored, max(c) AS covered FROM (
             SELECT topic, msgid, stored_at AS s, toUInt64(0) AS c FROM mqtt_msg WHERE ${where}
             UNION ALL SELECT topic, msgid, toUInt64(0) AS s, ${COVERED} AS c FROM mqtt_removed WHERE ${where} AND removed_at < ${number(at)}
           ) GROUP BY topic, msgid HAVING stored > covered)`,
      );
      const keys = new Set(chunk.map(keyOf));
      count += stored.filter((ref) => keys.has(keyOf(ref))).length;
    }
    return count;
  }
}
