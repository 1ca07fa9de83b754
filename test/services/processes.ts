import { spawn } from 'node:child_process';
import { existsSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { serviceDirectory, type Identity, as } from './files';
import { DIRECTORY, HOST } from './service';
import { pause, until } from './wait';

export interface ProcessOptions {
  readonly service: string;
  /** Where a service has several. */
  readonly name?: string;
  readonly command: string;
  readonly args: readonly string[];
  /** 127.0.0.1 when absent. */
  readonly host?: string;
  readonly port: number;
  readonly identity?: Identity;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** What ends it in order, without waiting for its clients. */
  readonly stopSignal?: NodeJS.Signals;
}

interface Started {
  readonly pid: number;
  /** From /proc: a later process with the same pid has another. */
  readonly since: string;
  readonly stopSignal: NodeJS.Signals;
}

const START_TIMEOUT_MS = 120_000;
const STOP_TIMEOUT_MS = 20_000;

/** Starts a process that outlives us, with a pid file and a log, and waits for its port. A running one is kept. */
export async function startProcess(options: ProcessOptions): Promise<void> {
  const { service, host = HOST, port, name = service } = options;
  const directory = serviceDirectory(service);
  const pidFile = join(directory, `${name}.pid`);
  const log = join(directory, `${name}.log`);
  if (running(pidFile) === null) {
    if (await portOpen(host, port)) throw new Error(`port ${port} is taken by a process that was not started here`);
    const [command, args] = as(options.identity, options.command, options.args);
    const output = openSync(log, 'a');
    const child = spawn(command, args, {
      detached: true,
      cwd: options.cwd ?? directory,
      stdio: ['ignore', output, output],
      env: { ...process.env, ...options.env },
    });
    await new Promise<void>((resolve, reject) => child.once('spawn', resolve).once('error', reject));
    child.unref();
    const started: Started = {
      pid: child.pid as number,
      since: startTime(child.pid as number) ?? '',
      stopSignal: options.stopSignal ?? 'SIGTERM',
    };
    writeFileSync(pidFile, JSON.stringify(started));
  }
  await until(`${name} on port ${port} (see ${log})`, START_TIMEOUT_MS, async () => {
    if (running(pidFile) === null) return { failed: 'has exited' };
    return (await portOpen(host, port)) ? 'done' : 'again';
  });
}

/** True when at least one of its processes runs. */
export function isRunning(service: string): boolean {
  return pidFiles(service).some((file) => running(file) !== null);
}

/** Ends a service's processes by their pids; with a signal that is not theirs: as somebody else would. */
export async function stopService(service: string, signal?: NodeJS.Signals): Promise<void> {
  await Promise.all(
    pidFiles(service).map(async (file) => {
      const started = running(file);
      if (started !== null) await end(file, { ...started, stopSignal: signal ?? started.stopSignal });
      rmSync(file);
    }),
  );
}

async function end(file: string, started: Started): Promise<void> {
  process.kill(started.pid, started.stopSignal);
  const deadline = Date.now() + STOP_TIMEOUT_MS;
  while (running(file) !== null) {
    // Servers may have children: the whole group goes.
    if (Date.now() > deadline) process.kill(-started.pid, 'SIGKILL');
    await pause(50);
  }
}

function pidFiles(service: string): string[] {
  const directory = join(DIRECTORY, service);
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .filter((file) => file.endsWith('.pid'))
    .map((file) => join(directory, file));
}

function running(pidFile: string): Started | null {
  if (!existsSync(pidFile)) return null;
  const started = JSON.parse(readFileSync(pidFile, 'utf8')) as Started;
  return startTime(started.pid) === started.since ? started : null;
}

/** Null where nobody has that pid, or a zombie. */
function startTime(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field, the program's name in parentheses, may hold blanks; the start time is field 22.
    const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return state === 'Z' ? null : (fields[18] ?? null);
  } catch {
    return null;
  }
}

function portOpen(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, host);
    socket
      .once('error', () => resolve(false))
      .once('connect', () => {
        resolve(true);
        socket.end();
      });
  });
}
