import { SettingError } from '../../base/errors';
import { numberKey, readNumber } from '../../embedded/keys';
import type { Table } from '../../embedded/table';
import type { Database } from './database';

/** The version of the tables and of their contents. */
const FORMAT = 1;
const [FORMAT_KEY, LAST_NUMBER_KEY] = [Buffer.from('format'), Buffer.from('last-number')];

export class Meta {
  private readonly table: Table;

  constructor(db: Database) {
    this.table = db.table('meta');
  }

  /** 0 if the store is not migrated yet. */
  get format(): number {
    return this.read(FORMAT_KEY);
  }

  /** What is wrong with the format; null if nothing is. */
  problem(): string | null {
    if (this.format > FORMAT) return `the store has format ${this.format}, this release knows ${FORMAT}: upgrade emqx-offline-store`;
    return this.format < FORMAT ? 'the store is not set up: run "emqx-offline-store migrate"' : null;
  }

  /** @throws SettingError if a later release has written the store */
  migrate(): void {
    if (this.format > FORMAT) throw new SettingError('DATA_DIR', this.problem() ?? '');
    if (this.format < FORMAT) this.table.put(FORMAT_KEY, numberKey(FORMAT));
  }

  /** A number that was never used before. */
  nextNumber(): number {
    const number = this.read(LAST_NUMBER_KEY) + 1;
    this.table.put(LAST_NUMBER_KEY, numberKey(number));
    return number;
  }

  private read(key: Buffer): number {
    const value = this.table.get(key);
    return value === undefined ? 0 : readNumber(value);
  }
}
