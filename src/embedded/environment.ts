import { statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { open, type RootDatabase } from 'lmdb';
import { ClosedError, errorText, RetryableError, SettingError } from '../base/errors';
import { Commits } from './commits';
import { prepareDataFile } from './data-file';
import { DirectoryLock } from './lock';
import { LongTable } from './long-table';
import { refuseOldFormat } from './old-format';
import { pagesOf, Table, type TreeStats } from './table';

export const FILE = 'data.mdb';
const MOST_TABLES = 48;
/** The two pages that say which transaction was the last. */
const META_PAGES = 2;
const PROBE = 'probe';
/** More than a few bytes, because those may find a freed page even on a full disk. */
const PROBE_BYTES = 64 * 1_024;

/**
 * The transactions are grouped here. lmdb's own grouping leaves rejected promises that nothing handles, which end the
 * process when the disk is full.
 */
const GROUPING = { eventTurnBatching: false, separateFlushed: true, commitDelay: 0 } as const;

/**
 * A start continues from the last synced transaction. A process that was killed may have committed later transactions,
 * but continuing from one of those is unsafe: the next transaction would overwrite pages that the synced state uses,
 * and a power failure would then destroy it. Nothing is lost that was confirmed, because lmdb confirms write(), too,
 * only when it is synced.
 */
const START = { safeRestore: true } as const;

/** How long a failed transaction waits for its cause, which lmdb sometimes never tells. */
const CAUSE_MS = 500;

const COMMITS = 'commits';

interface Transaction {
  readonly committed: Promise<unknown>;
  /** Resolves when the transaction is on the disk; never rejects. */
  readonly flushed: Promise<void>;
}

/**
 * One LMDB environment in DATA_DIR with everything that the embedded default keeps: the store, the queue and the shared
 * state. Only one process has it open. A read is immediate and sees all earlier writes. Writes that are requested
 * before a transaction begins are done in that one transaction.
 */
export class Environment {
  private readonly tables = new Map<string, Table>();
  private readonly works: (() => void)[] = [];
  private waiting: Transaction | null = null;
  /** Settles when the last transaction has ended. */
  private ended: Promise<unknown> = Promise.resolve();
  private readonly commits: Commits;
  private isClosed = false;

  private constructor(
    readonly directory: string,
    private readonly root: RootDatabase<Buffer, Buffer>,
    private readonly lock: DirectoryLock,
  ) {
    this.commits = new Commits(this.table(COMMITS));
  }

  /**
   * Opens the environment, and creates the directory if it does not exist.
   * @throws SettingError if the directory can't be used.
   */
  static async open(directory: string): Promise<Environment> {
    const lock = await DirectoryLock.acquire(directory);
    try {
      refuseOldFormat(directory);
      prepareDataFile(join(directory, FILE));
      const root = open<Buffer, Buffer>({
        path: join(directory, FILE),
        encoding: 'binary',
        keyEncoding: 'binary',
        maxDbs: MOST_TABLES,
        ...GROUPING,
        ...START,
      });
      return new Environment(directory, root, lock);
    } catch (error) {
      lock.release();
      if (error instanceof SettingError) throw error;
      const remedy = isForbidden(error)
        ? 'make it readable and writable for the user of the server'
        : 'restore a backup of it or choose another directory';
      throw new SettingError('DATA_DIR', `${join(directory, FILE)} cannot be opened (${errorText(error)}): ${remedy}`);
    }
  }

  table(name: string): Table {
    let table = this.tables.get(name);
    if (table === undefined)
      this.tables.set(name, (table = new Table(this.root.openDB<Buffer, Buffer>({ name, encoding: 'binary', keyEncoding: 'binary' }))));
    return table;
  }

  /** A table with keys of any length. */
  longTable(name: string): LongTable {
    return new LongTable(this.table(name));
  }

  /**
   * Runs the work in a transaction, together with other works. The work must be synchronous, and must not throw after
   * it has changed something. Resolves when everything that it wrote can be read and survives the end of this process.
   * After a power failure the first writes may be kept and later ones lost, never the other way round.
   * @throws RetryableError when the disk is full.
   */
  async write<T>(work: () => T): Promise<T> {
    const { committed } = this.next();
    return this.run(work, committed);
  }

  /** Like write(), but resolves only when a power failure can't undo the write. */
  async durably<T>(work: () => T): Promise<T> {
    const { committed, flushed } = this.next();
    const result = await this.run(work, committed);
    await flushed;
    return result;
  }

  private async run<T>(work: () => T, committed: Promise<unknown>): Promise<T> {
    let outcome: { readonly value: T } | { readonly error: unknown } | undefined;
    this.works.push(() => {
      try {
        outcome = { value: work() };
      } catch (error) {
        outcome = { error };
      }
    });
    await committed;
    if (outcome === undefined) throw new TypeError('the transaction has not run');
    if ('error' in outcome) throw outcome.error;
    return outcome.value;
  }

  /** The transaction that has not begun yet. It does all works that are added until it begins. */
  private next(): Transaction {
    if (this.isClosed) throw new ClosedError('the embedded database is closed');
    this.waiting ??= this.begin();
    return this.waiting;
  }

  private begin(): Transaction {
    let number = 0;
    const committed = this.root
      .transaction(() => {
        this.waiting = null;
        number = this.commits.begin();
        for (const work of this.works.splice(0)) work();
      })
      .then(
        () => {
          if (!this.commits.end(number)) throw new RetryableError(`DATA_DIR: ${this.directory} cannot be written: a commit is lost`);
        },
        async (error: unknown) => {
          this.commits.end(number);
          throw await this.explained(error);
        },
      );
    // lmdb's `flushed` belongs to this transaction only if it is read right now.
    const flushed = new Promise<void>((resolve) => void this.root.flushed.then(() => resolve()));
    this.ended = committed.catch(() => undefined);
    return { committed, flushed };
  }

  /**
   * Checks that the environment can be written.
   * @throws the error that prevents it.
   */
  async probe(): Promise<void> {
    const table = this.table(PROBE);
    await this.write(() => table.put(Buffer.from(PROBE), Buffer.alloc(PROBE_BYTES)));
  }

  /**
   * The bytes of the file, and how many of them are free. The file never shrinks; free space is used before the file
   * grows.
   */
  size(): { readonly file: number; readonly free: number } {
    const { pageSize, lastPageNumber, root, free } = this.root.getStats() as EnvironmentStats;
    const names = Array.from(this.root.getKeys() as Iterable<Buffer>, (key) => key.toString().replace(/\0$/, ''));
    const used = names.reduce((sum, name) => sum + this.table(name).pages, META_PAGES + pagesOf(root) + pagesOf(free));
    return { file: fileSize(this.directory) ?? 0, free: Math.max(0, lastPageNumber + 1 - used) * pageSize };
  }

  private async explained(error: unknown): Promise<unknown> {
    const { commitError } = error as { commitError?: Promise<unknown> };
    if (commitError === undefined) return error;
    const cause = await Promise.race([commitError.catch((reason: unknown) => reason), sleep(CAUSE_MS, error, { ref: false })]);
    return new RetryableError(`DATA_DIR: ${this.directory} cannot be written: ${errorText(cause)}`, { cause });
  }

  async close(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    await this.ended;
    // lmdb's close waits for the sync of the last transaction. If that transaction has failed, there is no sync. An empty
    // transaction succeeds even on a full disk.
    await this.root.transaction(() => undefined).catch(() => undefined);
    // After a read lmdb sets a timer of 0 ms, which throws if the environment is closed when it fires.
    await sleep(0);
    await this.root.close();
    this.lock.release();
  }
}

interface EnvironmentStats {
  readonly pageSize: number;
  readonly lastPageNumber: number;
  /** The tree of the tables' names. */
  readonly root: TreeStats;
  /** The tree that lists the free pages. */
  readonly free: TreeStats;
}

/** The bytes of the environment's file, even if another process has it open; null if there is no file. */
export function fileSize(directory: string): number | null {
  return statSync(join(directory, FILE), { throwIfNoEntry: false })?.size ?? null;
}

/** LMDB and Node.js say so in different ways. */
const isForbidden = (error: unknown): boolean =>
  ['EACCES', 'EPERM', 'EROFS'].includes((error as NodeJS.ErrnoException).code ?? '') ||
  /permission denied|read-only/i.test(errorText(error));

/**
 * For callers that only read, because open() would create a database.
 * @throws SettingError if there is none.
 */
export function requireDatabase(directory: string): void {
  refuseOldFormat(directory);
  if (fileSize(directory) === null)
    throw new SettingError('DATA_DIR', `there is no ${join(directory, FILE)}: name the directory that the server uses`);
}
