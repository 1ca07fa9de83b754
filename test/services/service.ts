import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A real server that the tests use; each file of this folder describes one. */
export interface Service {
  readonly name: string;
  /** What the tests find it by: environment variable and URL. */
  readonly variables: Readonly<Record<string, string>>;
  /** Starts it in `directory`, or leaves a running one as it is; returns when it answers. */
  start(directory: string): Promise<void>;
}

/** Outside of the repository: servers that run as another user must get in. */
export const DIRECTORY = join(tmpdir(), 'emqx-offline-store-services');

export interface ProcessOptions {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly port: number;
  /** Runs it as this user where we are root. */
  readonly user?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

/** Starts a process that outlives us, with a pid file and a log, and waits for its port. A running one is kept. */
export async function startProcess(directory: string, options: ProcessOptions): Promise<void> {
  const { name, port } = options;
  if (!isRunning(directory, name)) {
    const [command, args] = asUser(options.user, options.command, options.args);
    const log = openSync(join(directory, `${name}.log`), 'a');
    const child = spawn(command, args, { detached: true, stdio: ['ignore', log, log], env: { ...process.env, ...options.env } });
    child.unref();
    writeFileSync(pidFile(directory, name), String(child.pid));
  }
  await portOpen(name, directory, port, options.timeoutMs ?? 60_000);
}

/** The command, as another user where we may. */
export function asUser(user: string | undefined, command: string, args: readonly string[]): [string, string[]] {
  if (user === undefined || process.getuid?.() !== 0) return [command, [...args]];
  return ['setpriv', [`--reuid=${user}`, `--regid=${user}`, '--init-groups', command, ...args]];
}

/** Ends all processes that were started here, by their pids. */
export function stopAll(directory: string): void {
  if (!existsSync(directory)) return;
  for (const file of execFileSync('ls', [directory], { encoding: 'utf8' }).split('\n')) {
    const name = /^(.*)\.pid$/.exec(file)?.[1];
    if (name === undefined) continue;
    const pid = Number(readFileSync(pidFile(directory, name), 'utf8'));
    // Servers may have children: the whole group goes.
    if (isRunning(directory, name)) process.kill(-pid, 'SIGTERM');
    rmSync(pidFile(directory, name));
    process.stdout.write(`${name}: stopped\n`);
  }
}

export function prepareDirectory(...parts: string[]): string {
  const path = join(...parts);
  mkdirSync(path, { recursive: true, mode: 0o755 });
  return path;
}

const pidFile = (directory: string, name: string): string => join(directory, `${name}.pid`);

function isRunning(directory: string, name: string): boolean {
  try {
    process.kill(Number(readFileSync(pidFile(directory, name), 'utf8')), 0);
    return true;
  } catch {
    // No pid file, or nobody with that pid.
    return false;
  }
}

async function portOpen(name: string, directory: string, port: number, timeoutMs: number): Promise<void> {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1');
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
      socket.once('connect', () => socket.end());
    });
    if (open) return;
    if (!isRunning(directory, name)) throw new Error(`${name} has exited: see ${join(directory, `${name}.log`)}`);
    if (Date.now() > end) throw new Error(`${name} does not answer on port ${port}: see ${join(directory, `${name}.log`)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
