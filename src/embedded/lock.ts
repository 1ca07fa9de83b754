import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SettingError } from '../errors';

/**
 * Keeps a second process out of a data directory: PGlite has no lock of its own, and two of them in one directory destroy it. A
 * process that died without releasing is recognised by its pid and start time.
 */
export class DirectoryLock {
  private constructor(private readonly file: string) {}

  static acquire(directory: string): DirectoryLock {
    const file = join(directory, 'server.lock');
    for (let attempt = 0; ; attempt++) {
      try {
        writeFileSync(file, identity(process.pid), { flag: 'wx' });
        return new DirectoryLock(file);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || attempt === 2) throw lockError(directory, error);
      }
      const holder = readFileSync(file, 'utf8');
      const pid = Number(holder.split(' ')[0]);
      if (pid > 0 && holder === identity(pid)) {
        throw new SettingError('DATA_DIR', `${directory} is in use by process ${pid}: stop it or choose another directory`);
      }
      rmSync(file, { force: true });
    }
  }

  release(): void {
    rmSync(this.file, { force: true });
  }
}

/** "pid starttime": the start time in clock ticks since boot tells a process from a later one with its pid. */
function identity(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return `${pid} ${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]}`;
  } catch {
    // Not Linux, or no such process.
    return `${pid} ${isAlive(pid) ? 'alive' : 'dead'}`;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function lockError(directory: string, error: unknown): SettingError {
  return new SettingError('DATA_DIR', `cannot lock ${directory}: ${(error as Error).message}`);
}
