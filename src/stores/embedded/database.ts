import { ClosedError } from '../../base/errors';
import type { Environment } from '../../embedded/environment';
import { NUMBER_BYTES } from '../../embedded/keys';
import type { LongTable } from '../../embedded/long-table';
import type { Table } from '../../embedded/table';
import type { Purged } from '../store';

/**
 * The number of changes per transaction. A larger work is split into several transactions, because everything else
 * waits while one runs.
 */
export const CHANGED_AT_ONCE = 1_000;
const GREATEST_TIME = 2 ** (8 * NUMBER_BYTES) - 1;

/** The store's tables in an environment that the caller owns. Closing it closes only the store. */
export class Database {
  private isClosed = false;

  constructor(private readonly environment: Environment) {}

  table(name: string): Table {
    return this.environment.table(`store-${name}`);
  }

  longTable(name: string): LongTable {
    return this.environment.longTable(`store-${name}`);
  }

  async read<T>(work: () => T | Promise<T>): Promise<T> {
    this.refuseClosed();
    return work();
  }

  /** The work must not throw after it has changed something. */
  async write<T>(work: () => T): Promise<T> {
    this.refuseClosed();
    return this.environment.write(work);
  }

  /** @param step checks up to `limit` entries of an index, and sets `more` if it has checked that many. */
  async purge(limit: number, step: (limit: number) => Purged): Promise<Purged> {
    let removed = 0;
    for (let left = limit; left > 0; left -= CHANGED_AT_ONCE) {
      const done = await this.write(() => step(Math.min(left, CHANGED_AT_ONCE)));
      removed += done.removed;
      if (!done.more) return { removed, more: false };
    }
    return { removed, more: true };
  }

  close(): void {
    this.isClosed = true;
  }

  private refuseClosed(): void {
    if (this.isClosed) throw new ClosedError('the store is closed');
  }
}

/** A time (ms) as a number that fits into a key. */
export function timeOf(ms: number): number {
  return Math.min(Math.max(Math.floor(ms), 0), GREATEST_TIME);
}

/** The next greater key. */
export function behind(key: Buffer): Buffer {
  return Buffer.concat([key, Buffer.alloc(1)]);
}
