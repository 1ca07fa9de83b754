import type { SortedMap } from '../embedded/table';

/** The database that keeps all queues. One process has it open. */
export interface Database {
  /** Its keys are short. */
  table(name: string): SortedMap;
  /** Its keys have any length. */
  longTable(name: string): SortedMap;
  /** Runs the work in a transaction, with others. The work must not throw once it has changed something. Resolves when it is committed. */
  write<T>(work: () => T): Promise<T>;
  /** As write(). Resolves when a power failure can't undo it either. */
  durably<T>(work: () => T): Promise<T>;
}
