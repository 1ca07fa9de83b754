import { execFileSync } from 'node:child_process';
import { chownSync, copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DIRECTORY } from './service';

/** Who runs a command, and in which system. */
export interface Identity {
  readonly uid: number;
  readonly gid: number;
  /** A folder with a whole Debian system, entered by chroot. */
  readonly root?: string;
}

/** For servers that refuse to run as root and have no user of their own. */
export const NOBODY: Identity = { uid: 65_534, gid: 65_534 };

export function userNamed(name: string): Identity {
  const id = (flag: string): number => Number(execFileSync('id', [flag, name], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}

/** The command as somebody else, where we may. */
export function as(identity: Identity | undefined, command: string, args: readonly string[]): [string, string[]] {
  if (identity === undefined || process.getuid?.() !== 0) return [command, [...args]];
  const { uid, gid, root } = identity;
  if (root !== undefined) return ['chroot', [`--userspec=${uid}:${gid}`, root, command, ...args]];
  return ['setpriv', [`--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', command, ...args]];
}

/** The service's own folder: data, logs, pid files. */
export function serviceDirectory(service: string): string {
  return ownDirectory(join(DIRECTORY, service));
}

export function ownDirectory(path: string, owner?: Identity): string {
  mkdirSync(path, { recursive: true });
  if (owner !== undefined) give(path, owner);
  return path;
}

export function give(path: string, owner: Identity): void {
  if (process.getuid?.() === 0) chownSync(path, owner.uid, owner.gid);
}

export function copyTo(source: string, target: string, owner?: Identity): string {
  copyFileSync(source, target);
  if (owner !== undefined) give(target, owner);
  return target;
}
