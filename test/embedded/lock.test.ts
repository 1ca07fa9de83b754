import { spawn, spawnSync, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DirectoryLock } from '../../src/embedded/lock';
import { SettingError } from '../../src/base/errors';
import { temporaryDirectory } from '../support/temp';
import { waitFor } from '../support/wait';

const ROOT = join(__dirname, '../..');
const HOLDER = [process.execPath, '--import', 'tsx', 'test/embedded/lock-holder.ts'] as const;
const canUnshare = spawnSync('unshare', ['--pid', '--net', '--fork', '--mount-proc', 'true']).status === 0;
const isRoot = process.getuid?.() === 0;

/** A process that asks for the lock. */
class Holder {
  output = '';

  private constructor(readonly child: ChildProcess) {
    child.stdout?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
  }

  static async run(directory: string, before: readonly string[] = [], options: SpawnOptions = {}): Promise<Holder> {
    const [command = '', ...args] = [...before, ...HOLDER, directory];
    const holder = new Holder(spawn(command, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'], ...options }));
    running.push(holder);
    await waitFor('an answer', () => holder.output.includes('\n'), 30_000);
    return holder;
  }

  async end(): Promise<void> {
    this.child.kill('SIGKILL');
    await waitFor('its end', () => this.child.exitCode !== null || this.child.signalCode !== null);
  }
}

const running: Holder[] = [];

describe('the lock of DATA_DIR', () => {
  let directory: ReturnType<typeof temporaryDirectory>;
  beforeEach(() => {
    directory = temporaryDirectory();
  });
  afterEach(async () => {
    await Promise.all(running.splice(0).map((holder) => holder.end()));
    directory.remove();
  });
  const sockets = () => readdirSync(directory.path);

  it('is refused while another process has it, and free after its release', async () => {
    const lock = await DirectoryLock.acquire(directory.path);
    const second = await Holder.run(directory.path);
    expect(second.output).toMatch(
      /^SettingError DATA_DIR: .* is in use by process \d+ on .*: stop that server or choose another directory/,
    );
    lock.release();
    expect(sockets()).toEqual([]);
    expect((await Holder.run(directory.path)).output).toBe('held\n');
  });

  it('is free after its holder was killed, and leftover files are deleted', async () => {
    for (let i = 0; i < 3; i++) {
      const holder = await Holder.run(directory.path);
      expect(holder.output).toBe('held\n');
      await holder.end();
    }
    writeFileSync(join(directory.path, 'starting-0123456789abcdef.sock'), 'of a process that died before it listened');
    const lock = await DirectoryLock.acquire(directory.path);
    expect(sockets()).toHaveLength(1);
    lock.release();
  });

  // A container's first process often reaps nobody. The old lock took a zombie for a running server.
  it('is free when its holder is dead and nobody has reaped it', async () => {
    const script = `${HOLDER.map((word) => `'${word}'`).join(' ')} '${directory.path}' & echo $! >&3; exec sleep 60`;
    const parent = spawn('sh', ['-c', script], { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit', 'pipe'] });
    let [output, pid] = ['', ''];
    parent.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
    (parent.stdio[3] as NodeJS.ReadableStream).on('data', (chunk: Buffer) => (pid += chunk.toString()));
    await waitFor('the lock', () => output === 'held\n', 30_000);
    process.kill(Number(pid), 'SIGKILL');
    const state = () => spawnSync('ps', ['-o', 'stat=', '-p', pid.trim()]).stdout.toString().trim();
    await waitFor('a zombie', () => state().startsWith('Z'));
    (await DirectoryLock.acquire(directory.path)).release();
    expect(state()).toMatch(/^Z/);
    parent.kill('SIGKILL');
  });

  // Two containers with a shared volume. The old lock found no such process and joined it.
  (canUnshare ? it : it.skip)('is refused when the holder lives in another pid and network namespace', async () => {
    const inside = ['unshare', '--pid', '--net', '--fork', '--kill-child', '--mount-proc'];
    const holder = await Holder.run(directory.path, inside);
    expect(holder.output).toBe('held\n');
    await expect(DirectoryLock.acquire(directory.path)).rejects.toThrow(/is in use by process \d+/);
    const other = await Holder.run(directory.path, inside);
    expect(other.output).toMatch(/is in use by process/);
    await holder.end();
    await waitFor('a free directory', () =>
      DirectoryLock.acquire(directory.path).then(
        (lock) => (lock.release(), true),
        () => false,
      ),
    );
  });

  it('is refused while its holder is stopped', async () => {
    const holder = await Holder.run(directory.path);
    holder.child.kill('SIGSTOP');
    await expect(DirectoryLock.acquire(directory.path)).rejects.toThrow('is in use by another process, which does not answer');
    holder.child.kill('SIGCONT');
    await expect(DirectoryLock.acquire(directory.path)).rejects.toThrow(/is in use by process/);
  });

  // The guard is the interval of ask(): a timeout would be over before the answer is read.
  it('is refused with the name of its holder after the process that asks stood still', async () => {
    const holder = await Holder.run(directory.path);
    holder.child.kill('SIGSTOP');
    const answer = DirectoryLock.acquire(directory.path).catch((error: Error) => error.message);
    await waitFor('the question', () => sockets().filter((name) => name.startsWith('server-')).length === 2);
    holder.child.kill('SIGCONT');
    // Nothing of this process runs meanwhile.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2_500);
    expect(await answer).toMatch(/is in use by process \d+ on/);
  });

  it('goes to exactly one of four processes that start at the same time', async () => {
    for (let round = 0; round < 3; round++) {
      const holders = await Promise.all(Array.from({ length: 4 }, () => Holder.run(directory.path)));
      expect(holders.filter(({ output }) => output === 'held\n')).toHaveLength(1);
      // A holder that a busy machine keeps from answering is another process, too.
      expect(holders.filter(({ output }) => /is in use by (another )?process/.test(output))).toHaveLength(3);
      await Promise.all(holders.map((holder) => holder.end()));
    }
  }, 120_000);

  it('goes to exactly one of eight requests in one process, despite leftover files', async () => {
    for (let round = 0; round < 50; round++) {
      // The socket of a process that died refuses connections, as a plain file does.
      for (let i = 0; i < 3; i++) writeFileSync(join(directory.path, `server-${String(round).padStart(15, '0')}${i}.sock`), '');
      const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => DirectoryLock.acquire(directory.path)));
      const locks = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
      expect(locks).toHaveLength(1);
      locks[0]?.release();
      expect(sockets()).toEqual([]);
    }
  }, 60_000);

  it('is taken in a directory with a long path', async () => {
    const long = join(directory.path, ...Array.from({ length: 4 }, (_, i) => `${i}`.repeat(100)));
    mkdirSync(long, { recursive: true });
    const lock = await DirectoryLock.acquire(long);
    expect((await Holder.run(long)).output).toMatch(/is in use by process/);
    lock.release();
    expect(readdirSync(long)).toEqual([]);
  });

  it('creates a missing directory, and rejects a path that is a file', async () => {
    (await DirectoryLock.acquire(join(directory.path, 'new', 'data'))).release();
    writeFileSync(join(directory.path, 'file'), '');
    for (const path of [join(directory.path, 'file'), join(directory.path, 'file', 'data')]) {
      await expect(DirectoryLock.acquire(path)).rejects.toThrow(SettingError);
      await expect(DirectoryLock.acquire(path)).rejects.toThrow(
        /^DATA_DIR: .*, or a part of that path, is a file: set DATA_DIR to a directory$/,
      );
    }
  });

  (isRoot ? it : it.skip)('is refused with advice when the user may not read or write the directory', async () => {
    const nobody = { uid: 65_534, gid: 65_534 };
    for (const mode of [0o555, 0o333]) {
      chmodSync(directory.path, mode);
      const { output } = await Holder.run(directory.path, [], nobody);
      expect(output).toMatch(
        /^SettingError DATA_DIR: .* cannot be locked \(.*EACCES.*\): make it readable and writable for the user of the server or choose/,
      );
    }
    chmodSync(directory.path, 0o555);
    const below = await Holder.run(join(directory.path, 'below'), [], nobody);
    expect(below.output).toMatch(/^SettingError DATA_DIR: .* cannot be created, because the user of the server may not write there: /);
    chmodSync(directory.path, 0o755);
  });
});
