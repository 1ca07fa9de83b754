import type { Database, RangeOptions } from 'lmdb';
import { afterPrefix } from './keys';

export interface Entry {
  readonly key: Buffer;
  readonly value: Buffer;
}

export interface Range {
  /** The first key that may be in the range. */
  readonly from?: Buffer;
  /** The first key that is after the range. */
  readonly to?: Buffer;
  readonly limit?: number;
  /** Reads from the end. `from` and `to` keep their meaning. */
  readonly reverse?: boolean;
}

/**
 * A sorted map from bytes to bytes. It may be read at any time, and must be changed only inside Environment.write or
 * Environment.durably.
 */
export interface SortedMap {
  get(key: Buffer): Buffer | undefined;
  has(key: Buffer): boolean;
  put(key: Buffer, value: Buffer): void;
  remove(key: Buffer): void;
  /** If the map changes during the iteration, the entries may show the changes. */
  entries(range?: Range): Iterable<Entry>;
}

/** A table of the environment. LMDB allows keys of 1 to 1,978 bytes. */
export class Table implements SortedMap {
  constructor(private readonly database: Database<Buffer, Buffer>) {}

  get(key: Buffer): Buffer | undefined {
    return this.database.get(key);
  }

  has(key: Buffer): boolean {
    return this.database.doesExist(key);
  }

  put(key: Buffer, value: Buffer): void {
    void this.database.put(key, value);
  }

  remove(key: Buffer): void {
    void this.database.remove(key);
  }

  *entries({ from, to, limit, reverse = false }: Range = {}): Iterable<Entry> {
    if (limit === 0) return;
    // Without a snapshot no reader keeps old pages from being used again.
    const options: RangeOptions = { reverse, snapshot: false };
    if (limit !== undefined) options.limit = limit;
    if (reverse) {
      options.inclusiveEnd = true;
      if (to !== undefined) [options.start, options.exclusiveStart] = [to, true];
      if (from !== undefined) options.end = from;
    } else {
      if (from !== undefined) options.start = from;
      if (to !== undefined) options.end = to;
    }
    yield* this.database.getRange(options) as Iterable<Entry>;
  }

  get count(): number {
    return (this.database.getStats() as TreeStats).entryCount;
  }

  /** How many pages of the file the table takes. */
  get pages(): number {
    return pagesOf(this.database.getStats() as TreeStats);
  }
}

export interface TreeStats {
  readonly entryCount: number;
  readonly treeBranchPageCount: number;
  readonly treeLeafPageCount: number;
  readonly overflowPages: number;
}

export function pagesOf({ treeBranchPageCount, treeLeafPageCount, overflowPages }: TreeStats): number {
  return treeBranchPageCount + treeLeafPageCount + overflowPages;
}

export function prefixed(map: SortedMap, prefix: Buffer, range: Omit<Range, 'to'> = {}): Iterable<Entry> {
  const to = afterPrefix(prefix);
  return map.entries({ from: prefix, ...range, ...(to !== null && { to }) });
}
