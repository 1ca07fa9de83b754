import { randomBytes } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorText, SettingError } from '../base/errors';

/** A process that does not answer for so long is taken for one that has the directory: it may be stopped or very busy. */
const ANSWER_MS = 2_000;
/** How long a starting process waits for another one that starts at the same time. */
const SETTLE_MS = 10_000;
const LOOK_AGAIN_MS = 20;
/** The kernel takes socket paths of 107 bytes on Linux and 103 on macOS. */
const MOST_PATH_BYTES = 103;

/** `starting-`: not seen by others yet; `server-`: a process listens on it, or has died. A name is never used twice. */
const SOCKET_NAME = /^(starting|server)-[0-9a-f]{16}\.sock$/;

type State = 'starting' | 'holding';

interface Other {
  readonly name: string;
  /** unknown: it ended while it was asked. */
  readonly state: State | 'unknown';
  /** Which process, for the operator. */
  readonly who: string;
}

/**
 * Keeps a second process out of a data directory: two of them in one directory destroy its database.
 *
 * The holder listens on a Unix socket in the directory. The kernel ends the listening when the process dies, also by kill -9 and before
 * its parent has noticed, and a connection tells it across containers that share the directory. The file system must be a local one.
 *
 * Every process first listens on a socket of its own and then looks at the others' sockets. So of two processes the one that looks
 * last sees the other. Of two that start at once, the one whose socket has the smaller name goes on and the other one gives up.
 * A socket file that nobody listens on is never listened on again, so that everybody may delete it.
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

  /** Creates the directory where it is missing. @throws SettingError */
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

  /** The socket gets its final name when it listens already: under that name nobody takes it for one of a dead process. */
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

  /** Deletes the sockets of processes that have died. */
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

/** The directory, and paths into it that are short enough for a socket. */
class SocketFolder {
  private constructor(
    readonly directory: string,
    /** Open where the directory's own path is too long. */
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

  /** @returns false when somebody has deleted it: a process that looks between our bind() and listen() takes it for a dead one. */
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

/** @returns null when nobody listens on the socket. */
function ask(name: string, path: string): Promise<Other | null> {
  return new Promise((resolve) => {
    let answer = '';
    const socket = connect(path);
    const finish = (other: Omit<Other, 'name'> | null) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(other === null ? null : { name, ...other });
    };
    const timer = setTimeout(() => finish({ state: 'holding', who: 'another process, which does not answer' }), ANSWER_MS);
    socket.setEncoding('utf8').on('data', (text: string) => (answer += text));
    socket.on('end', () => {
      const [state = '', ...who] = answer.split(' ');
      finish(state === '' ? { state: 'unknown', who: 'a process that ends' } : { state: state as State, who: who.join(' ') });
    });
    socket.on('error', (error) => {
      const code = codeOf(error);
      if (code === 'ECONNREFUSED' || code === 'ENOENT') finish(null);
      else if (code === 'ECONNRESET' || code === 'EPIPE') finish({ state: 'unknown', who: 'a process that ends' });
      // For example another user's socket, or one with a full backlog because its process is stopped.
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
