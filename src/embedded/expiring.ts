import { keyOf, NUMBER_BYTES, numberKey, readNumber } from './keys';
import type { SortedMap } from './table';

/**
 * The time at which the entry expires (ms), and the time under which the index has it. 0 means never, and not in the
 * index.
 */
const HEADER_BYTES = 2 * NUMBER_BYTES;

/**
 * A map whose entries expire. The index tells when an entry must be checked. An entry that was written again meanwhile
 * and lives longer is put into the index again at that check. So writing an entry often costs one change each time, not
 * two.
 */
export class ExpiringTable {
  constructor(
    private readonly table: SortedMap,
    private readonly index: SortedMap,
  ) {}

  /** @returns undefined if there is no entry or it has expired. */
  get(key: Buffer, now: number): Buffer | undefined {
    const held = this.table.get(key);
    return held === undefined || isOver(held, now) ? undefined : held.subarray(HEADER_BYTES);
  }

  /** @param expiresAt in ms; null for never. */
  put(key: Buffer, value: Buffer, expiresAt: number | null): void {
    const before = this.table.get(key);
    const indexed = before === undefined ? 0 : readNumber(before, NUMBER_BYTES);
    const expires = expiresAt === null ? 0 : Math.ceil(expiresAt);
    const looked = expires !== 0 && (indexed === 0 || indexed > expires) ? expires : indexed;
    if (looked !== indexed) this.index.put(keyOf(looked, key), EMPTY);
    this.table.put(key, Buffer.concat([numberKey(expires), numberKey(looked), value]));
  }

  /** The index keeps its entry until the time of its check. */
  remove(key: Buffer): void {
    this.table.remove(key);
  }

  /**
   * Removes expired entries.
   * @returns whether it stopped at the limit.
   */
  purge(now: number, limit: number): boolean {
    const due = [...this.index.entries({ to: numberKey(now + 1), limit })];
    for (const { key: indexKey } of due) {
      this.index.remove(indexKey);
      const key = indexKey.subarray(NUMBER_BYTES);
      const held = this.table.get(key);
      if (held === undefined || readNumber(held, NUMBER_BYTES) !== readNumber(indexKey)) continue;
      if (isOver(held, now)) this.table.remove(key);
      else this.lookLater(key, held);
    }
    return due.length === limit;
  }

  private lookLater(key: Buffer, held: Buffer): void {
    const expires = readNumber(held);
    if (expires !== 0) this.index.put(keyOf(expires, key), EMPTY);
    this.table.put(key, Buffer.concat([numberKey(expires), numberKey(expires), held.subarray(HEADER_BYTES)]));
  }
}

const EMPTY = Buffer.alloc(0);

function isOver(held: Buffer, now: number): boolean {
  const expires = readNumber(held);
  return expires !== 0 && expires <= now;
}
