import { once } from 'node:events';
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { Client, type ClientConfig } from 'pg';
import { RetryableError } from '../errors';
import { DirectoryLock } from './lock';
import { PgliteStream } from './stream';
import { queryMessage, WireReader } from './wire';

/** BullMQ's tables live beside the store's in one database, in a schema of their own (queue/postgres.ts). */
const SETUP = 'SET search_path TO public, offline_queue';

const THREAD = join(__dirname, 'thread.js');

interface Request {
  readonly stream: PgliteStream;
  readonly bytes: Buffer;
}

type Answer = { answer: Uint8Array } | { error: string };

/**
 * The embedded database: PostgreSQL in WASM (PGlite) in a thread of this process. Any number of pg clients share its one session:
 * requests run one at a time, a transaction keeps the session until it ends, and notifications reach every client
 * (docs/decisions/0001-embedded-database.md).
 */
export class PgliteEngine {
  private readonly streams = new Set<PgliteStream>();
  private readonly waiting: Request[] = [];
  private running: Request | null = null;
  /** The client whose transaction is open. */
  private owner: PgliteStream | null = null;
  private closed = false;

  private constructor(
    private readonly thread: Worker,
    private readonly lock: DirectoryLock,
    onFailure: (error: Error) => void,
  ) {
    thread.on('message', (answer: Answer) => this.receive(answer));
    thread.on('error', onFailure);
  }

  /**
   * Opens or creates the database below `dataDir`. Throws SettingError when another process has it open. `onFailure` hears of
   * an engine that broke: it cannot go on, what is on disk is as after a kill -9.
   */
  static async open(dataDir: string, onFailure: (error: Error) => void): Promise<PgliteEngine> {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    const lock = DirectoryLock.acquire(dataDir);
    try {
      const directory = join(dataDir, 'pgdata');
      if (!existsSync(join(directory, 'PG_VERSION'))) await create(directory);
      const thread = new Worker(THREAD, { workerData: { directory, setup: SETUP }, resourceLimits: { maxYoungGenerationSizeMb: 8 } });
      await once(thread, 'message');
      return new PgliteEngine(thread, lock, onFailure);
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  /** For pg.Client, pg.Pool, knex and BullMQ's PostgreSQL backend alike. */
  connectionConfig(): ClientConfig {
    return { user: 'postgres', database: 'postgres', stream: () => this.connect() };
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
    if (this.running !== null || this.closed) return;
    const index = this.owner === null ? 0 : this.waiting.findIndex(({ stream }) => stream === this.owner);
    this.running = (index < 0 ? undefined : this.waiting.splice(index, 1)[0]) ?? null;
    if (this.running !== null) this.thread.postMessage(this.running.bytes);
  }

  private receive(message: Answer): void {
    const stream = this.running?.stream;
    this.running = null;
    if (stream !== undefined) {
      if ('answer' in message) {
        this.answer(stream, Buffer.from(message.answer));
      } else {
        // The engine failed, not a statement: this client's connection is lost, the others' go on.
        if (this.owner === stream) this.owner = null;
        stream.destroy(new RetryableError(`the embedded database: ${message.error}`));
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

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    for (const stream of [...this.streams]) stream.destroy();
    const exit = once(this.thread, 'exit');
    this.thread.postMessage('close');
    await exit;
    this.lock.release();
  }
}

/** What a process that died left half made is begun again. */
async function create(directory: string): Promise<void> {
  const unfinished = `${directory}.new`;
  rmSync(unfinished, { recursive: true, force: true });
  await promisify(execFile)(process.execPath, [THREAD, unfinished]);
  renameSync(unfinished, directory);
}
