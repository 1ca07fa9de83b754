import { numberKey, readNumber } from '../../embedded/keys';
import type { Table } from '../../embedded/table';
import { timeOf, type Database } from './database';
import type { Meta } from './meta';

/** The most ids in a list. */
const LISTED = 256;
const LENGTH_BYTES = 2;

/**
 * The ids that have a tombstone, each with the time at which it expires. They are also in lists by the time at which
 * the tombstones expire, so that a batch of removals costs one entry. Nothing is taken out of a list: a purge looks
 * whether its ids still have a tombstone, and until when.
 */
export class Tombstones {
  private readonly ids: Table;
  /** The key of a list is the time and a number of its own. */
  private readonly lists: Table;

  constructor(
    db: Database,
    private readonly meta: Meta,
  ) {
    this.ids = db.table('tombstone-ids');
    this.lists = db.table('tombstones');
  }

  /** When the id's tombstone expires; null if it has none. */
  until(id: Buffer): number | null {
    const value = this.ids.peek(id);
    return value === undefined ? null : readNumber(value);
  }

  /** The greatest id that has a tombstone; null if there is none. */
  last(): Buffer | null {
    return this.ids.last() ?? null;
  }

  /** The id must be listed, too. */
  put(id: Buffer, until: number): void {
    this.ids.put(id, numberKey(until));
  }

  remove(id: Buffer): void {
    this.ids.remove(id);
  }

  /** Lists ids whose tombstones expire at this time. */
  list(ids: readonly Buffer[], until: number): void {
    for (let i = 0; i < ids.length; i += LISTED)
      this.lists.put(Buffer.concat([numberKey(until), numberKey(this.meta.nextNumber())]), toList(ids.slice(i, i + LISTED)));
  }

  /**
   * Removes expired tombstones, and their lists.
   * @param limit how many ids it may look at. The first list is always read.
   * @returns whether it stopped at the limit.
   */
  purge(now: number, limit: number): boolean {
    const keys: Buffer[] = [];
    const ids: Buffer[] = [];
    let more = false;
    for (const { key, value } of this.lists.entries({ to: numberKey(timeOf(now) + 1) })) {
      const list = fromList(value);
      more = keys.length > 0 && ids.length + list.length > limit;
      if (more) break;
      keys.push(key);
      ids.push(...list);
    }
    for (const id of ids) this.purgeOne(id, now);
    for (const key of keys) this.lists.remove(key);
    return more;
  }

  private purgeOne(id: Buffer, now: number): void {
    const until = this.until(id);
    if (until !== null && until <= now) this.ids.remove(id);
  }
}

function toList(ids: readonly Buffer[]): Buffer {
  const list = Buffer.allocUnsafe(ids.reduce((sum, { length }) => sum + LENGTH_BYTES + length, 0));
  let at = 0;
  for (const id of ids) {
    at = list.writeUIntBE(id.length, at, LENGTH_BYTES);
    at += id.copy(list, at);
  }
  return list;
}

function fromList(list: Buffer): Buffer[] {
  const ids: Buffer[] = [];
  for (let at = 0; at < list.length;) {
    const start = at + LENGTH_BYTES;
    at = start + list.readUIntBE(at, LENGTH_BYTES);
    ids.push(list.subarray(start, at));
  }
  return ids;
}
