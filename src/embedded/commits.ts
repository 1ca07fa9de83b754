import { numberKey, readNumber } from './keys';
import type { Table } from './table';

const LAST = Buffer.from('last');

/**
 * Tells which transactions are lost. When commits fail, on a full disk for example, lmdb sometimes says of one of them
 * that it is committed. So each transaction leaves its number, and the next transaction looks which number is there.
 */
export class Commits {
  private last = 0;
  /** The transactions that have run, and of which lmdb has not said yet whether they are committed. */
  private readonly open = new Set<number>();
  private readonly lost = new Set<number>();

  constructor(private readonly table: Table) {}

  /** Must be called in a transaction, before it changes anything. @returns its number. */
  begin(): number {
    const stored = this.stored();
    for (const number of this.open) if (number > stored) this.lost.add(number);
    // A number that a lost transaction had is not used again.
    this.last = Math.max(this.last, stored) + 1;
    this.table.put(LAST, numberKey(this.last));
    this.open.add(this.last);
    return this.last;
  }

  /** Must be called when lmdb says that the transaction has ended. @returns whether it is committed. */
  end(number: number): boolean {
    this.open.delete(number);
    return !this.lost.delete(number) && this.stored() >= number;
  }

  private stored(): number {
    const value = this.table.get(LAST);
    return value === undefined ? 0 : readNumber(value);
  }
}
