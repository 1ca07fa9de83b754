import { readAll, writeAll } from './batches';
import type { Client } from './client';
import { number, numberOf, text, textOf } from './values';

const TABLE = 'mqtt_tombstone';

/**
 * The ids of removed messages, for a while. DynamoDB itself deletes expired ones, free of charge and within days
 * (attribute ttl, in seconds).
 */
export class Tombstones {
  constructor(private readonly client: Client) {}

  /**
   * If two servers write the tombstone of one id at once, one overwrites the other; their times differ only by a
   * moment. An earlier tombstone that lasts longer is kept.
   * @param stored the ids of stored messages. They have no earlier tombstone, except that of a removal which was
   * interrupted or runs at this moment, and all removals leave tombstones for the same time. So these ids are not looked up.
   */
  async leave(ids: readonly string[], until: number, stored: ReadonlyMap<string, unknown>): Promise<void> {
    // A tombstone that has expired already protects nothing.
    if (until <= Date.now()) return;
    const longer = await this.living(
      ids.filter((id) => !stored.has(id)),
      until,
    );
    await writeAll(
      this.client,
      ids
        .filter((id) => !longer.has(id))
        .map((id) => ({ table: TABLE, put: { msgid: text(id), expires_at: number(until), ttl: number(Math.ceil(until / 1_000)) } })),
    );
  }

  /** The ids that have a tombstone which is valid longer than `now` (ms). */
  async living(ids: readonly string[], now: number): Promise<Set<string>> {
    const items = await readAll(
      this.client,
      TABLE,
      ids.map((id) => ({ msgid: text(id) })),
    );
    return new Set(items.filter((item) => (numberOf(item['expires_at']) ?? 0) > now).map((item) => textOf(item['msgid']) ?? ''));
  }
}
