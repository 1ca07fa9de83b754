import { readAll, writeAll } from './batches';
import type { Client } from './client';
import { number, numberOf, text, textOf } from './values';

const TABLE = 'mqtt_tombstone';

/** The ids of removed messages, for a while. DynamoDB deletes what has expired by itself, within days and for nothing (attribute ttl, seconds). */
export class Tombstones {
  constructor(private readonly client: Client) {}

  /**
   * Two servers that bury the same id at once overwrite each other, with times that differ by the moment between them; an earlier, longer
   * one is kept.
   */
  async leave(ids: readonly string[], until: number): Promise<void> {
    const longer = await this.living(ids, until);
    await writeAll(
      this.client,
      ids
        .filter((id) => !longer.has(id))
        .map((id) => ({ table: TABLE, put: { msgid: text(id), expires_at: number(until), ttl: number(Math.ceil(until / 1_000)) } })),
    );
  }

  /** Those of the ids that must not come back, with the time given or later. */
  async living(ids: readonly string[], now: number): Promise<Set<string>> {
    const items = await readAll(
      this.client,
      TABLE,
      ids.map((id) => ({ msgid: text(id) })),
    );
    return new Set(items.filter((item) => (numberOf(item['expires_at']) ?? 0) > now).map((item) => textOf(item['msgid']) ?? ''));
  }
}
