import { execFile } from 'node:child_process';
import { existsSync, renameSync, rmSync } from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';

/** BullMQ's tables live beside the store's in one database, in a schema of their own (queue/postgres.ts). */
const SETUP = 'SET search_path TO public, offline_queue';
const THREAD = join(__dirname, 'thread.js');
/** Long enough to recover from the log of a crash. */
const START_MS = 120_000;

type Reply = { answer: Uint8Array } | { broken: string };

/** One life of PGlite, in a thread of its own: it ends when PGlite breaks, and what is on disk is then as after a kill -9. */
export class EngineThread {
  private asking: { readonly resolve: (answer: Buffer) => void; readonly reject: (error: Error) => void } | null = null;
  private end: Error | null = null;

  private constructor(private readonly worker: Worker) {
    worker.on('message', (reply: Reply) => {
      if ('answer' in reply) this.asking?.resolve(Buffer.from(reply.answer));
      else this.broke(new Error(reply.broken));
    });
    worker.on('error', (error) => this.broke(error));
    worker.on('exit', () => this.broke(new Error('its thread ended')));
  }

  private broke(error: Error): void {
    this.end ??= error;
    this.asking?.reject(this.end);
  }

  /** Opens the database in the directory. Throws when it can't be opened. */
  static async start(directory: string): Promise<EngineThread> {
    // PGlite would make an empty one.
    if (!isDatabase(directory)) throw new Error(`there is no database in ${directory}`);
    const worker = new Worker(THREAD, { workerData: { directory, setup: SETUP }, resourceLimits: { maxYoungGenerationSizeMb: 8 } });
    const waiting = new AbortController();
    const giveUp = (reason: string) => waiting.abort(new Error(reason));
    const timer = setTimeout(() => giveUp(`it did not open within ${START_MS / 1_000} s`), START_MS);
    worker.once('exit', () => giveUp('its thread ended before it was open'));
    try {
      await once(worker, 'message', { signal: waiting.signal });
      return new EngineThread(worker);
    } catch (error) {
      await worker.terminate();
      throw waiting.signal.aborted ? waiting.signal.reason : error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** One at a time. Rejects when PGlite broke: it can be asked nothing more. */
  ask(request: Buffer): Promise<Buffer> {
    if (this.end !== null) return Promise.reject(this.end);
    return new Promise((resolve, reject) => {
      this.asking = { resolve, reject };
      this.worker.postMessage(request);
    });
  }

  async close(): Promise<void> {
    const exit = once(this.worker, 'exit');
    this.worker.postMessage('close');
    await exit;
  }

  async kill(): Promise<void> {
    await this.worker.terminate();
  }
}

export function isDatabase(directory: string): boolean {
  return existsSync(join(directory, 'PG_VERSION'));
}

/** What a process that died left half made is begun again. */
export async function createDatabase(directory: string): Promise<void> {
  const unfinished = `${directory}.new`;
  rmSync(unfinished, { recursive: true, force: true });
  await promisify(execFile)(process.execPath, [THREAD, unfinished]);
  renameSync(unfinished, directory);
}
