import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { waitFor } from './wait';

const ROOT = join(__dirname, '../..');

/**
 * Linux gives outgoing connections the ports from 32,768 on. Another test's connection could have one of those before a
 * server listens there, or while the server restarts.
 */
const PORTS = { from: 20_000, to: 32_000 };

/**
 * A port is free from the moment when it was found until its server listens, which takes a process some seconds. Jest's
 * workers look for ports at the same time, so each worker has ports of its own: those with the same remainder.
 */
const WORKERS = 16;
const given = new Set<number>();

export async function freePort(): Promise<number> {
  for (;;) {
    const turn = Math.floor((Math.random() * (PORTS.to - PORTS.from)) / WORKERS);
    const port = PORTS.from + turn * WORKERS + (Number(process.env['JEST_WORKER_ID'] ?? 0) % WORKERS);
    if (given.has(port)) continue;
    given.add(port);
    const server = createServer().listen(port, '127.0.0.1');
    // Rejects at 'error'.
    const isFree = await once(server, 'listening').then(
      () => true,
      () => false,
    );
    if (!isFree) continue;
    server.close();
    await once(server, 'close');
    return port;
  }
}

/** The server in its own process, run from the sources. */
export class ServerProcess {
  output = '';
  private readonly exit: Promise<number | null>;

  private constructor(
    private readonly child: ChildProcess,
    readonly url: string,
  ) {
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    // Not 'exit': what the process wrote at its end may not have been read then.
    this.exit = once(child, 'close').then(([code]) => code as number | null);
  }

  static async run(environment: Record<string, string>, ...args: string[]): Promise<ServerProcess> {
    const port = environment['PORT'] ?? String(await freePort());
    const env = { PATH: process.env['PATH'] ?? '', PORT: port, ...environment };
    // A write beyond a limit of the file's size fails, as on a full disk, where the signal that comes with it is
    // ignored.
    const child = spawn('sh', ['-c', `trap '' XFSZ; exec "$0" "$@"`, process.execPath, '--import', 'tsx', 'src/main.ts', ...args], {
      cwd: ROOT,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    return new ServerProcess(child, `http://127.0.0.1:${port}`);
  }

  /** Starts the server, and resolves when it is ready. */
  static async serve(environment: Record<string, string>): Promise<ServerProcess> {
    const server = await ServerProcess.run(environment, 'serve');
    try {
      await waitFor('the server to be ready', () => server.output.includes('"msg":"ready"') || server.exited(), 45_000);
    } catch (error) {
      // A process that is left behind would keep the directory that the next test needs.
      await server.end('SIGKILL');
      throw error;
    }
    return server;
  }

  private exited(): boolean {
    if (this.child.exitCode !== null) throw new Error(`the server exited with ${this.child.exitCode}:\n${this.output}`);
    return false;
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  async post(path: string, body: unknown): Promise<Response> {
    return fetch(`${this.url}${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
  }

  async get<T = unknown>(path: string): Promise<T> {
    return (await fetch(`${this.url}${path}`)).json() as Promise<T>;
  }

  async end(signal: NodeJS.Signals): Promise<number | null> {
    this.child.kill(signal);
    return this.exit;
  }

  get exitCode(): Promise<number | null> {
    return this.exit;
  }
}
