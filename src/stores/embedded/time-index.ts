import { afterPrefix, NUMBER_BYTES, readNumber } from '../../embedded/keys';
import type { SortedMap } from '../../embedded/table';
import { timeOf } from './database';

/** Several indexes share one table. In format 1 tombstones had an index of their own ids, too. */
export type Kind = 'message' | 'tombstone' | 'position' | 'client' | 'subscription';
const KINDS: readonly Kind[] = ['message', 'tombstone', 'position', 'client', 'subscription'];
const HEADER_BYTES = 1 + NUMBER_BYTES;
const NOTHING = Buffer.alloc(0);

export interface Due {
  readonly key: Buffer;
  readonly time: number;
}

/**
 * Keys by the time at which they must be checked, so that a purge reads only what is due. Times are those of timeOf().
 */
export class TimeIndex {
  private readonly kind: number;

  constructor(
    private readonly table: SortedMap,
    kind: Kind,
  ) {
    this.kind = KINDS.indexOf(kind);
  }

  add(time: number, key: Buffer): void {
    this.table.put(this.entryOf(time, key), NOTHING);
  }

  remove(time: number, key: Buffer): void {
    this.table.remove(this.entryOf(time, key));
  }

  /** @param from null if the key was not in the index. */
  move(from: number | null, to: number, key: Buffer): void {
    if (from === to) return;
    if (from !== null) this.remove(from, key);
    this.add(to, key);
  }

  /** The keys with the oldest times up to `until`. */
  due(until: number, limit: number): Due[] {
    const range = { from: Buffer.from([this.kind]), to: afterPrefix(this.entryOf(timeOf(until), NOTHING)) as Buffer, limit };
    return Array.from(this.table.entries(range), ({ key }) => ({ key: key.subarray(HEADER_BYTES), time: readNumber(key, 1) }));
  }

  private entryOf(time: number, key: Buffer): Buffer {
    const entry = Buffer.allocUnsafe(HEADER_BYTES + key.length);
    entry[0] = this.kind;
    entry.writeUIntBE(time, 1, NUMBER_BYTES);
    key.copy(entry, HEADER_BYTES);
    return entry;
  }
}
