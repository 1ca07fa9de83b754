import { SettingError } from '../../base/errors';
import { numberKey, readNumber } from '../../embedded/keys';
import type { Table } from '../../embedded/table';
import type { Database } from './database';

/**
 * The version of the tables and of their contents. In format 1 each tombstone had an entry of its own in the index of
 * expiry, and so had each message that expires. Format 2 had lists of tombstones and groups of messages, and messages by
 * topic and id. Format 3 has messages by id, with a small index by topic. Messages that format 1 wrote keep their entries
 * in the index of expiry, which are also those of messages without a group.
 */
export const FORMAT = 3;
const REMEDY = 'run "emqx-offline-store migrate"';
const [FORMAT_KEY, LAST_NUMBER_KEY] = [Buffer.from('format'), Buffer.from('last-number')];
const [CHANGES_KEY, INDEXED_KEY, MOVING_KEY] = [Buffer.from('message-changes'), Buffer.from('indexed-to'), Buffer.from('moving')];
const NOTHING = Buffer.alloc(0);

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
    if (this.format === 0) return `the store is not set up: ${REMEDY}`;
    if (this.format < FORMAT) return `the store has the older format ${this.format}: ${REMEDY}`;
    return this.isMoving ? `the store is not brought to format ${FORMAT} completely: ${REMEDY}` : null;
  }

  /** @throws SettingError if a later release has written the store. */
  refuseLater(): void {
    if (this.format > FORMAT) throw new SettingError('DATA_DIR', this.problem() ?? '');
  }

  /** The tables have this release's format from now on. */
  setFormat(): void {
    this.table.put(FORMAT_KEY, numberKey(FORMAT));
  }

  /** Whether messages of an older format are not moved yet. Earlier releases refuse the store already. */
  get isMoving(): boolean {
    return this.table.has(MOVING_KEY);
  }

  setMoving(isMoving: boolean): void {
    if (isMoving) this.table.put(MOVING_KEY, NOTHING);
    else this.table.remove(MOVING_KEY);
  }

  /** A number that was never used before. */
  nextNumber(): number {
    return this.next(LAST_NUMBER_KEY);
  }

  /** How many transactions have changed messages. */
  get changes(): number {
    return this.read(CHANGES_KEY);
  }

  nextChange(): number {
    return this.next(CHANGES_KEY);
  }

  /** Messages up to this id are in the index by topic. */
  get indexedTo(): Buffer {
    return this.table.get(INDEXED_KEY) ?? NOTHING;
  }

  setIndexedTo(id: Buffer): void {
    this.table.put(INDEXED_KEY, id);
  }

  private next(key: Buffer): number {
    const number = this.read(key) + 1;
    this.table.put(key, numberKey(number));
    return number;
  }

  private read(key: Buffer): number {
    const value = this.table.get(key);
    return value === undefined ? 0 : readNumber(value);
  }
}
