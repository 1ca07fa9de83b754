import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, type ClientConfig } from 'pg';
import { errorText, RetryableError } from '../base/errors';
import { createDatabase, EngineThread, isDatabase } from './engine-thread';
import { DirectoryLock } from './lock';
import { PgliteStream } from './stream';
import { queryMessage, WireReader } from './wire';

/** It is no network that goes silent, but one thing at a time behind all others, VACUUM too. */
const QUERY_TIMEOUT_MS = 60_000;
const FIRST_RETRY_MS = 200;
const LAST_RETRY_MS = 5_000;

interface Request {
  readonly stream: PgliteStream;
  readonly bytes: Buffer;
}

/**
 * The embedded database: PostgreSQL in WASM (PGlite) in a thread of this process. Any number of pg clients share its one session:
 * requests run one at a time, a transaction keeps the session until it ends, and notifications reach every client
 * (docs/decisions/0001-embedded-database.md). When PGlite breaks, as on a full disk, all connections end and it is opened again, as a database
 * server that died and was started again.
 */
export class PgliteEngine {
  private readonly streams = new Set<PgliteStream>();
  private readonly waiting: Request[] = [];
  private running: Request | null = null;
  /** The client whose transaction is open. */
  private owner: PgliteStream | null = null;
  private readonly closing = new AbortController();
  /** Settles when PGlite, which broke, is open again or given up. */
  private reopening: Promise<void> = Promise.resolve();

  private constructor(
    /** null: it broke and is not open again. */
    private thread: EngineThread | null,
    private readonly directory: string,
    private readonly lock: DirectoryLock,
    private readonly onTrouble: (error: Error) => void,
  ) {}

  /**
   * Opens or creates the database below `dataDir`. Throws SettingError when another process has it open. `onTrouble` hears of
   * an engine that broke, and of each try to open it again that fails.
   */
  static async open(dataDir: string, onTrouble: (error: Error) => void): Promise<PgliteEngine> {
    const lock = await DirectoryLock.acquire(dataDir);
    const directory = join(dataDir, 'pgdata');
    try {
      if (!isDatabase(directory)) await createDatabase(directory);
      return new PgliteEngine(await EngineThread.start(directory), directory, lock, onTrouble);
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  /** For pg.Client, pg.Pool, knex and BullMQ's PostgreSQL backend alike. */
  connectionConfig(): ClientConfig {
    return { user: 'postgres', database: 'postgres', query_timeout: QUERY_TIMEOUT_MS, stream: () => this.connect() };
  }

  /**
   * PGlite has no autovacuum: without this the queue's tables grow with every job, for ever. Without ANALYZE, too: at a moment when a queue is
   * empty it makes the planner give up the indexes, and taking a job from a queue that has filled again takes twice as long.
   */
  async vacuum(): Promise<void> {
    const client = new Client(this.connectionConfig());
    await client.connect();
    try {
      await client.query('VACUUM');
    } finally {
      await client.end();
    }
  }

  private connect(): PgliteStream {
    const stream = new PgliteStream(this);
    this.streams.add(stream);
    if (this.closed) stream.destroy(new RetryableError('the embedded database is closed'));
    return stream;
  }

  submit(stream: PgliteStream, bytes: Buffer): void {
    this.waiting.push({ stream, bytes });
    this.runNext();
  }

  leave(stream: PgliteStream): void {
    if (!this.streams.delete(stream)) return;
    if (this.owner === stream && !this.closed) this.submit(stream, queryMessage('ROLLBACK'));
  }

  private runNext(): void {
    const { thread } = this;
    if (this.running !== null || thread === null || this.closed) return;
    const index = this.owner === null ? 0 : this.waiting.findIndex(({ stream }) => stream === this.owner);
    const request = index < 0 ? undefined : this.waiting.splice(index, 1)[0];
    if (request === undefined) return;
    this.running = request;
    thread.ask(request.bytes).then(
      (answer) => {
        this.running = null;
        this.answer(request.stream, answer);
        this.runNext();
      },
      (error: Error) => {
        if (!this.closed) this.reopening = this.reopen(thread, error);
      },
    );
  }

  /** The engine failed, not a statement: everything that was under way is as after a crash. */
  private async reopen(broken: EngineThread, reason: Error): Promise<void> {
    this.thread = null;
    this.running = null;
    this.owner = null;
    this.waiting.length = 0;
    const text = `the embedded database broke and is opened again: ${errorText(reason)}`;
    for (const stream of [...this.streams]) stream.destroy(new RetryableError(text));
    this.onTrouble(new Error(text, { cause: reason }));
    await broken.kill();
    const { signal } = this.closing;
    for (let delay = FIRST_RETRY_MS; this.thread === null && !signal.aborted; delay = Math.min(delay * 2, LAST_RETRY_MS)) {
      try {
        this.thread = await EngineThread.start(this.directory);
      } catch (error) {
        this.onTrouble(new Error(`the embedded database (DATA_DIR) cannot be opened: ${errorText(error)}`, { cause: error }));
        await sleep(delay, undefined, { signal }).catch(() => undefined);
      }
    }
    this.runNext();
  }

  private answer(stream: PgliteStream, bytes: Buffer): void {
    const own: Buffer[] = [];
    for (const message of new WireReader(false).read(bytes)) {
      if (message.type === 'A') {
        for (const each of this.streams) each.push(message.bytes);
        continue;
      }
      // ReadyForQuery tells whether the session is idle or inside somebody's transaction.
      if (message.type === 'Z') this.owner = message.bytes[5] === 'I'.charCodeAt(0) ? null : stream;
      own.push(message.bytes);
    }
    if (!this.streams.has(stream) && this.owner === stream) this.submit(stream, queryMessage('ROLLBACK'));
    if (this.streams.has(stream)) stream.push(Buffer.concat(own));
  }

  private get closed(): boolean {
    return this.closing.signal.aborted;
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closing.abort();
    for (const stream of [...this.streams]) stream.destroy();
    await this.reopening;
    await this.thread?.close();
    this.lock.release();
  }
}
