import type { Database, PutOptions, RangeOptions } from 'lmdb';
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

const APPEND: PutOptions = { append: true };

/** A table of the environment. LMDB allows keys of 1 to 1,978 bytes. */
export class Table implements SortedMap {
  constructor(private readonly database: Database<Buffer, Buffer>) {}

  get(key: Buffer): Buffer | undefined {
    return this.database.get(key);
  }

  /** Like get(), but without a copy: the next read of any table overwrites the bytes, so they must be read at once. */
  peek(key: Buffer): Buffer | undefined {
    return this.database.getBinaryFast(key) as Buffer | undefined;
  }

  has(key: Buffer): boolean {
    return this.database.doesExist(key);
  }

  /** The greatest key; undefined if the table is empty. */
  last(): Buffer | undefined {
    for (const key of this.keys({ reverse: true, limit: 1 })) return key;
    return undefined;
  }

  /** Puts a key that is greater than all others. LMDB then does not search for its place, and fills its pages completely. */
  append(key: Buffer, value: Buffer): void {
    this.database.putSync(key, value, APPEND);
  }

  put(key: Buffer, value: Buffer): void {
    void this.database.put(key, value);
  }

  remove(key: Buffer): void {
    void this.database.remove(key);
  }

  *entries(range: Range = {}): Iterable<Entry> {
    if (range.limit !== 0) yield* this.database.getRange(optionsOf(range)) as Iterable<Entry>;
  }

  /** Like entries(), but no value is read. */
  *keys(range: Range = {}): Iterable<Buffer> {
    if (range.limit !== 0) yield* this.database.getKeys(optionsOf(range));
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

/** The keys that begin with the prefix, without their values. */
export function prefixedKeys(table: Table, prefix: Buffer, limit: number): Iterable<Buffer> {
  const to = afterPrefix(prefix);
  return table.keys({ from: prefix, limit, ...(to !== null && { to }) });
}

function optionsOf({ from, to, limit, reverse = false }: Range): RangeOptions {
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
  return options;
}
