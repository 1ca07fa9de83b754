import type { SortedMap } from '../embedded/table';

/** The database that keeps all queues. Only one process has it open. */
export interface Database {
  /** A table with short keys. */
  table(name: string): SortedMap;
  /** A table with keys of any length. */
  longTable(name: string): SortedMap;
  /**
   * Runs the work in a transaction, together with other works. The work must not throw after it has changed something.
   * Resolves when the transaction is committed.
   */
  write<T>(work: () => T): Promise<T>;
  /** Like write(), but resolves only when a power failure can't undo the write. */
  durably<T>(work: () => T): Promise<T>;
}
