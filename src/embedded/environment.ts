import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { open, type RootDatabase } from 'lmdb';
import { ClosedError, errorText, RetryableError, SettingError } from '../base/errors';
import { DirectoryLock } from './lock';
import { LongTable } from './long-table';
import { Table } from './table';

const FILE = 'data.mdb';
/** What PostgreSQL leaves in its directory: earlier versions of this server had it inside. */
const OLD_FORMAT = 'PG_VERSION';
const MOST_TABLES = 48;
const PROBE = 'probe';

/**
 * One LMDB environment in DATA_DIR for all that the embedded default keeps: the store, the queue and what processes share elsewhere. One process has it
 * open. Reads are immediate and see everything that was written before them; writes of one turn of the event loop are one transaction.
 */
export class Environment {
  private readonly tables = new Map<string, Table>();
  private isClosed = false;

  private constructor(
    readonly directory: string,
    private readonly root: RootDatabase<Buffer, Buffer>,
    private readonly lock: DirectoryLock,
  ) {}

  /** Creates the directory where it is missing. @throws SettingError when it can't be used */
  static async open(directory: string): Promise<Environment> {
    const lock = await DirectoryLock.acquire(directory);
    try {
      refuseOldFormat(directory);
      const root = open<Buffer, Buffer>({ path: join(directory, FILE), encoding: 'binary', keyEncoding: 'binary', maxDbs: MOST_TABLES, separateFlushed: true, commitDelay: 0 });
      return new Environment(directory, root, lock);
    } catch (error) {
      lock.release();
      if (error instanceof SettingError) throw error;
      throw new SettingError('DATA_DIR', `${join(directory, FILE)} cannot be opened (${errorText(error)}): restore a backup of it or choose another directory`);
    }
  }

  table(name: string): Table {
    let table = this.tables.get(name);
    if (table === undefined) this.tables.set(name, (table = new Table(this.root.openDB<Buffer, Buffer>({ name, encoding: 'binary', keyEncoding: 'binary' }))));
    return table;
  }

  /** A table with keys of any length. */
  longTable(name: string): LongTable {
    return new LongTable(this.table(name));
  }

  /**
   * Runs the work in a transaction, with others. It must not throw once it has changed something, and can't wait. Resolves when all that it wrote can be read and
   * survives the end of this process; of what was written in this order, a power failure keeps a beginning. Throws RetryableError when the disk is full.
   */
  async write<T>(work: () => T): Promise<T> {
    this.refuseClosed();
    try {
      return await this.root.transaction(work);
    } catch (error) {
      throw await this.explained(error);
    }
  }

  /** As write(). Resolves when a power failure can't undo it either. */
  async durably<T>(work: () => T): Promise<T> {
    const written = this.write(work);
    // Of the transaction that has it, or a later one.
    const flushed = this.root.flushed;
    const result = await written;
    await flushed;
    return result;
  }

  /** Whether it can be written. Throws what is in the way. */
  async probe(): Promise<void> {
    const table = this.table(PROBE);
    await this.write(() => table.put(Buffer.from(PROBE), Buffer.from(String(Date.now()))));
  }

  private refuseClosed(): void {
    if (this.isClosed) throw new ClosedError('the embedded database is closed');
  }

  private async explained(error: unknown): Promise<unknown> {
    const { commitError } = error as { commitError?: Promise<unknown> };
    if (commitError === undefined) return error;
    const cause = await commitError.catch((reason: unknown) => reason);
    return new RetryableError(`DATA_DIR: ${this.directory} cannot be written: ${errorText(cause)}`, { cause });
  }

  async close(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    await this.root.close();
    this.lock.release();
  }
}

function refuseOldFormat(directory: string): void {
  if (!readdirSync(directory).some((name) => name === OLD_FORMAT || existsSync(join(directory, name, OLD_FORMAT)))) return;
  throw new SettingError('DATA_DIR', `${directory} has a database of an earlier version, which was a PostgreSQL: choose another directory, or keep on with that version until its messages are delivered`);
}
