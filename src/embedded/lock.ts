import { randomBytes } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorText, SettingError } from '../base/errors';

/**
 * A process that does not answer within this time (ms) counts as the holder of the directory, because it may be stopped
 * or very busy.
 */
const ANSWER_MS = 2_000;
/**
 * The process that asks waits for the answer in so many steps. If the process itself stands still, one step is over
 * and not the whole time, because it has not yet read an answer that came meanwhile.
 */
const ANSWER_STEPS = 4;
/** How long a starting process waits for another one that starts at the same time (ms). */
const SETTLE_MS = 10_000;
const LOOK_AGAIN_MS = 20;
/** The kernel allows socket paths of 107 bytes on Linux and of 103 on macOS. */
const MOST_PATH_BYTES = 103;

/**
 * `starting-`: other processes ignore this socket. `server-`: a process listens on it, or has died. No name is used
 * twice.
 */
const SOCKET_NAME = /^(starting|server)-[0-9a-f]{16}\.sock$/;

type State = 'starting' | 'holding';

interface Other {
  readonly name: string;
  /** `unknown` if the process ended while it was asked. */
  readonly state: State | 'unknown';
  /** Describes the process for the operator. */
  readonly who: string;
}

/**
 * Keeps a second process out of a data directory, because two processes in one directory destroy its database.
 *
 * The holder listens on a Unix socket in the directory. The kernel closes the socket when the process dies, even by
 * kill -9 and before the parent process has noticed. A connection to the socket works across containers that share the
 * directory. The file system must be local.
 *
 * Every process first listens on a socket of its own and then checks the other sockets. So of two processes the one
 * that checks last sees the other. If two start at the same time, the one with the smaller socket name continues and
 * the other one gives up. A socket file without a listener is never used again, so any process may delete it.
 */
export class DirectoryLock {
  private state: State = 'starting';

  private constructor(
    private readonly folder: SocketFolder,
    private readonly server: Server,
    private readonly name: string,
  ) {
    server.unref();
    server.on('connection', (socket) => {
      socket.on('error', () => undefined);
      socket.end(`${this.state} process ${process.pid} on ${hostname()}`);
    });
  }

  /**
   * Takes the lock, and creates the directory if it does not exist.
   * @throws SettingError
   */
  static async acquire(directory: string): Promise<DirectoryLock> {
    const folder = SocketFolder.open(directory);
    const lock = await DirectoryLock.appear(folder);
    try {
      await lock.compete();
      return lock;
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  /**
   * The socket gets its final name only when it listens. So no process takes a socket of that name for one of a dead
   * process.
   */
  private static async appear(folder: SocketFolder): Promise<DirectoryLock> {
    for (;;) {
      const id = randomBytes(8).toString('hex');
      const [hidden, name] = [`starting-${id}.sock`, `server-${id}.sock`];
      try {
        const server = await listen(folder.pathOf(hidden));
        const lock = new DirectoryLock(folder, server, name);
        if (folder.rename(hidden, name)) return lock;
        server.close();
      } catch (error) {
        folder.close();
        throw unusable(folder.directory, error);
      }
    }
  }

  private async compete(): Promise<void> {
    for (const end = Date.now() + SETTLE_MS; ; await sleep(LOOK_AGAIN_MS)) {
      const others = await this.others();
      if (others.length === 0) break;
      const winner = others.find(({ name, state }) => state === 'holding' || (state === 'starting' && name < this.name));
      const blocker = winner ?? (Date.now() > end ? others[0] : undefined);
      if (blocker !== undefined) {
        throw new SettingError(
          'DATA_DIR',
          `${this.folder.directory} is in use by ${blocker.who}: stop that server or choose another directory`,
        );
      }
    }
    this.state = 'holding';
  }

  /** @returns the other processes. Sockets of dead processes are deleted. */
  private async others(): Promise<Other[]> {
    const names = this.folder.names().filter((name) => SOCKET_NAME.test(name) && name !== this.name);
    const answers = await Promise.all(names.map((name) => ask(name, this.folder.pathOf(name))));
    for (const [i, name] of names.entries()) if (answers[i] === null) this.folder.delete(name);
    return answers.filter((other): other is Other => other !== null && other.name.startsWith('server-'));
  }

  release(): void {
    this.folder.delete(this.name);
    this.server.close();
    this.folder.close();
  }
}

/** The directory, with paths into it that are short enough for a socket. */
class SocketFolder {
  private constructor(
    readonly directory: string,
    /** A descriptor of the directory, if the directory's own path is too long. */
    private readonly descriptor: number | null,
  ) {}

  static open(directory: string): SocketFolder {
    try {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
    } catch (error) {
      throw new SettingError('DATA_DIR', creationProblem(directory, error));
    }
    if (Buffer.byteLength(join(directory, 'starting-0123456789abcdef.sock')) <= MOST_PATH_BYTES) return new SocketFolder(directory, null);
    if (process.platform !== 'linux')
      throw new SettingError('DATA_DIR', `the path ${directory} is too long: choose a directory with a shorter one`);
    try {
      return new SocketFolder(directory, openSync(directory, 'r'));
    } catch (error) {
      throw unusable(directory, error);
    }
  }

  pathOf(name: string): string {
    return join(this.descriptor === null ? this.directory : `/proc/self/fd/${this.descriptor}`, name);
  }

  /** @throws SettingError */
  names(): string[] {
    try {
      return readdirSync(this.directory);
    } catch (error) {
      throw unusable(this.directory, error);
    }
  }

  /**
   * @returns false if another process has deleted the socket. That happens if it checks between bind() and listen() and
   * takes the socket for one of a dead process.
   */
  rename(from: string, to: string): boolean {
    try {
      renameSync(join(this.directory, from), join(this.directory, to));
      return true;
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return false;
      throw error;
    }
  }

  delete(name: string): void {
    rmSync(join(this.directory, name), { force: true });
  }

  close(): void {
    if (this.descriptor !== null) closeSync(this.descriptor);
  }
}

function listen(path: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      resolve(server);
    });
  });
}

/** @returns null if no process listens on the socket. */
function ask(name: string, path: string): Promise<Other | null> {
  return new Promise((resolve) => {
    let answer = '';
    const socket = connect(path);
    const finish = (other: Omit<Other, 'name'> | null) => {
      clearInterval(timer);
      socket.destroy();
      resolve(other === null ? null : { name, ...other });
    };
    let steps = 0;
    const timer = setInterval(() => {
      if (++steps === ANSWER_STEPS) finish({ state: 'holding', who: 'another process, which does not answer' });
    }, ANSWER_MS / ANSWER_STEPS);
    socket.setEncoding('utf8').on('data', (text: string) => (answer += text));
    socket.on('end', () => {
      const [state = '', ...who] = answer.split(' ');
      finish(state === '' ? { state: 'unknown', who: 'a process that ends' } : { state: state as State, who: who.join(' ') });
    });
    socket.on('error', (error) => {
      const code = codeOf(error);
      if (code === 'ECONNREFUSED' || code === 'ENOENT') finish(null);
      else if (code === 'ECONNRESET' || code === 'EPIPE') finish({ state: 'unknown', who: 'a process that ends' });
      // Examples: the socket belongs to another user, or its backlog is full because its process is stopped.
      else finish({ state: 'holding', who: `another process (${errorText(error)})` });
    });
  });
}

function creationProblem(directory: string, error: unknown): string {
  switch (codeOf(error)) {
    case 'EEXIST':
    case 'ENOTDIR':
      return `${directory}, or a part of that path, is a file: set DATA_DIR to a directory`;
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return `${directory} cannot be created, because the user of the server may not write there: create it for that user or set DATA_DIR to another directory`;
    case undefined:
    default:
      return `${directory} cannot be created (${errorText(error)}): create it or set DATA_DIR to another directory`;
  }
}

function unusable(directory: string, error: unknown): SettingError {
  const isForbidden = ['EACCES', 'EPERM', 'EROFS'].includes(codeOf(error) ?? '');
  const remedy = isForbidden
    ? 'make it readable and writable for the user of the server or choose another directory'
    : 'choose a directory on a local file system';
  return new SettingError('DATA_DIR', `${directory} cannot be locked (${errorText(error)}): ${remedy}`);
}

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;
