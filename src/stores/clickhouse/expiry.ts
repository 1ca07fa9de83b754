import type { Purged } from '../store';
import type { Client, Settings } from './client';
import { COVERED } from './keys';
import { number } from './literal';
import type { LivingRow } from './living';
import type { Removals } from './removals';
import type { Sweeper } from './sweeper';

type Due = Pick<LivingRow, 'topic' | 'id' | 'lastStoredAt'>;

/** A query finds at most this many expired messages, which the next steps remove. */
const MOST_DUE = 20_000;
/** A query stops when it has found about as many bytes of topics and ids. */
const IN_MEMORY: Settings = { max_result_bytes: 8 * 1_048_576, result_overflow_mode: 'break', max_block_size: 512 };

const HASH = 'cityHash64(topic, msgid)';

/**
 * Removes expired messages. A query reads the times of all rows, so it finds the messages for many steps at once. They are in memory until
 * the steps have removed them, at most MOST_DUE.
 */
export class Expiry {
  private due: Due[] = [];
  private dueAt = 0;

  constructor(
    private readonly db: Client,
    private readonly removals: Removals,
    private readonly sweeper: Sweeper,
  ) {}

  async purge(now: number, limit: number): Promise<Purged> {
    // A caller may ask for an earlier time than before. At that time not all that was found has expired.
    if (this.due.length === 0 || now < this.dueAt) await this.find(now);
    const step = this.due.splice(0, limit);
    await this.removals.end(step);
    // The last step of a run finds nothing. It frees the disk space of everything that was removed, by this process or by others.
    if (step.length === 0) await this.sweeper.run();
    return { removed: step.length, more: step.length > 0 };
  }

  /**
   * Most messages were never removed, so these are looked for first. What was stored again after its removal is few, and comes at the end.
   * Two keys with the same hash only delay the purge of one of them.
   */
  private async find(now: number): Promise<void> {
    [this.due, this.dueAt] = [[], now];
    const expired = `expires_ms BETWEEN 1 AND ${number(now)}`;
    if ((await this.db.count(`SELECT count() AS n FROM mqtt_msg PREWHERE ${expired}`)) === 0) return;
    const hashes = `SELECT ${HASH} FROM mqtt_msg PREWHERE ${expired}`;
    const removed = `SELECT ${HASH} FROM mqtt_removed WHERE ${HASH} IN (${hashes})`;
    const again = `SELECT hash FROM (
        SELECT ${HASH} AS hash, stored_at AS s, toUInt64(0) AS c FROM mqtt_msg PREWHERE ${expired}
        UNION ALL SELECT ${HASH} AS hash, toUInt64(0) AS s, ${COVERED} AS c FROM mqtt_removed WHERE ${HASH} IN (${hashes})
      ) GROUP BY hash HAVING max(s) > max(c) LIMIT ${MOST_DUE}`;
    for (const found of [`${hashes} WHERE ${HASH} NOT IN (${removed}) LIMIT ${MOST_DUE}`, again]) {
      this.due = await this.db.rows<Due>(
        `SELECT topic, msgid AS id, max(stored_at) AS lastStoredAt FROM mqtt_msg WHERE ${HASH} IN (${found})
         GROUP BY topic, msgid HAVING argMin(${expired}, stored_at) = 1`,
        IN_MEMORY,
      );
      if (this.due.length > 0) return;
    }
  }
}
