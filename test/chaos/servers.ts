import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, readFileSync, writeFileSync, type WriteStream } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** What a service manager waits before it starts again what has exited by itself. */
const RESTART_MS = 500;
/** Debian's libfaketime. */
export const FAKETIME = '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1';

export interface MemorySample {
  /** Of the process, in seconds. */
  readonly age: number;
  readonly megabytes: number;
}

export interface ServerOptions {
  readonly name: string;
  readonly port: number;
  readonly environment: Readonly<Record<string, string>>;
  /** Where the server's build or sources are. */
  readonly directory: string;
  /** Node's arguments that run the server. */
  readonly command: readonly string[];
  readonly logFile: string;
  /** Says how far its clock is off: for libfaketime. null: it has the machine's clock. */
  readonly clockFile: string | null;
}

/** The server as a process that is always started again, as a service manager does. */
export class SupervisedServer {
  /** Exits that nobody asked for, with the code. */
  readonly crashes: { readonly at: number; readonly text: string }[] = [];
  /** From SIGTERM to the exit, in ms. */
  readonly stops: number[] = [];
  /** By process. */
  readonly memory: MemorySample[][] = [];
  private child: ChildProcess | null = null;
  private since = 0;
  private expected = false;
  private over = false;
  private readonly log: WriteStream;

  constructor(private readonly options: ServerOptions) {
    this.log = createWriteStream(options.logFile, { flags: 'a' });
    this.setClock(0);
  }

  get name(): string {
    return this.options.name;
  }

  get port(): number {
    return this.options.port;
  }

  get pid(): number | null {
    return this.child?.pid ?? null;
  }

  get url(): string {
    return `http://127.0.0.1:${this.options.port}`;
  }

  start(): void {
    const { environment, port, directory, command, clockFile } = this.options;
    const clock =
      clockFile === null
        ? {}
        : { LD_PRELOAD: FAKETIME, FAKETIME_TIMESTAMP_FILE: clockFile, FAKETIME_CACHE_DURATION: '1', FAKETIME_DONT_FAKE_MONOTONIC: '1' };
    const env = { PATH: process.env['PATH'] ?? '', HOST: '127.0.0.1', PORT: String(port), ...clock, ...environment };
    const child = spawn(process.execPath, [...command, 'serve'], { cwd: directory, env, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => this.log.write(chunk));
    this.child = child;
    this.since = performance.now();
    this.expected = false;
    this.memory.push([]);
    child.once('exit', (code, signal) => this.exited(code, signal));
  }

  private exited(code: number | null, signal: NodeJS.Signals | null): void {
    this.child = null;
    if (this.expected || this.over) return;
    this.crashes.push({ at: performance.now(), text: `${this.name}: ${signal ?? code}` });
    setTimeout(() => void (this.child !== null || this.over || this.start()), RESTART_MS);
  }

  /** Ends the process, and starts it again at once. */
  async restart(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    await this.end(signal);
    if (!this.over && this.child === null) this.start();
  }

  /** The process stands still, as a virtual machine that is moved. @param meanwhile is done before it goes on. */
  async freeze(ms: number, meanwhile: () => Promise<void> = () => Promise.resolve()): Promise<void> {
    const { child } = this;
    if (child === null) return;
    child.kill('SIGSTOP');
    try {
      await sleep(ms);
      await meanwhile();
    } finally {
      child.kill('SIGCONT');
    }
  }

  /** Its clock is so far off from now on. */
  setClock(seconds: number): void {
    const { clockFile } = this.options;
    if (clockFile !== null) writeFileSync(clockFile, `${seconds < 0 ? '-' : '+'}${Math.abs(seconds)}`);
  }

  sampleMemory(): void {
    if (this.child?.pid === undefined) return;
    const megabytes = anonymousMegabytes(this.child.pid);
    if (megabytes !== null) this.memory.at(-1)?.push({ age: (performance.now() - this.since) / 1000, megabytes });
  }

  private async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const { child } = this;
    if (child === null) return;
    this.expected = true;
    const from = performance.now();
    const exit = once(child, 'exit');
    child.kill(signal);
    await exit;
    if (signal === 'SIGTERM') this.stops.push(performance.now() - from);
  }

  async stop(): Promise<void> {
    this.over = true;
    await this.end('SIGTERM');
    this.log.end();
  }
}

function anonymousMegabytes(pid: number): number | null {
  try {
    const kilobytes = /RssAnon:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return kilobytes === undefined ? null : Number(kilobytes) / 1024;
  } catch {
    // It has just exited.
    return null;
  }
}
