import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';

const ROOT = `${__dirname}/../..`;
/** A disk takes some time to sync: transactions are committed meanwhile. */
const SYNC_MICROSECONDS = 5_000;
const CALLS = [
  'openat',
  'pwrite64',
  'pwritev',
  'pwritev2',
  'writev',
  'write',
  'lseek',
  'fdatasync',
  'fsync',
  'msync',
  'sync_file_range',
  'ftruncate',
  'fallocate',
];
const STRACE = [
  '-f',
  '-y',
  '-xx',
  '-s',
  '10000000',
  '-e',
  `trace=${CALLS.join(',')}`,
  '-e',
  'signal=none',
  '-e',
  `inject=fdatasync:delay_enter=${SYNC_MICROSECONDS}`,
];

const LINE = /^\d+ +(?:(\w+)\(|<\.\.\. (\w+) resumed>)(.*)$/;
const PID = /^\d+/;
/** `?`: the process was killed meanwhile. */
const RESULT = /\) += (-?\d+|\?)(?:<([^>]*)>)?/;
/** What a disk writes as one. */
const SECTOR = 512;
const UNFINISHED = ' <unfinished ...>';
const HEX = /\\x/g;

/** What was done to the file, or printed. It happened between two instants: when it was called, and when it returned. */
interface Action {
  readonly called: number;
  readonly returned: number;
}

export interface Write extends Action {
  readonly offset: number;
  readonly data: Buffer;
  /** Through a descriptor that returns when the disk has it. */
  readonly isSynced: boolean;
}

export interface Printed extends Action {
  readonly text: string;
}

/** Whether the disk has the write's sector that begins, or goes on, at the offset in the file. */
export type Choice = (write: Write, offset: number) => boolean;

/** A system call. */
interface Call extends Action {
  readonly name: string;
  /** With its file's name in hexadecimal digits. */
  readonly descriptor: string;
  readonly args: string;
  /** NaN: it never returned. */
  readonly result: number;
  readonly resultPath: string;
}

/** What processes did to one file and what they printed. Instants are lines of the trace: all that is above one had happened by then. */
export class Trace {
  readonly writes: Write[] = [];
  readonly syncs: Action[] = [];
  readonly printed: Printed[] = [];
  /** When each process had opened the file. */
  readonly opened: number[] = [];
  private lineCount = 0;

  private constructor() {}

  /** @param actual what the file has after the process has ended. */
  private add(lines: readonly string[], file: string, actual: Buffer): void {
    const path = Buffer.from(file).toString('hex');
    const [synced, positions] = [new Set<string>(), new Map<string, number>()];
    const from = this.lineCount;
    this.lineCount += lines.length;
    for (const call of callsOf(lines)) {
      const { name, descriptor, args, result, resultPath } = call;
      // What did not return was over when the process had ended.
      const [called, returned] = [from + call.called, from + Math.min(call.returned, lines.length - 1)];
      if (name === 'openat' && resultPath === path) {
        const opened = `${result}<${path}>`;
        synced.delete(opened);
        if (!args.includes('O_DSYNC')) continue;
        synced.add(opened);
        this.opened.push(returned);
      } else if (name === 'write' && descriptor.startsWith('1<')) {
        this.printed.push({ called, returned, text: textsOf(args)[0]?.toString() ?? '' });
      } else if (descriptor.endsWith(`<${path}>`)) {
        if (name === 'pwrite64' || name === 'writev') {
          const offset = name === 'writev' ? (positions.get(descriptor) ?? NaN) : Number(/, (\d+)$/.exec(args)?.[1]);
          this.writes.push({ called, returned, isSynced: synced.has(descriptor), offset, data: writtenBy(call, offset, actual) });
        } else if (Number.isNaN(result)) continue;
        else if (name === 'lseek') positions.set(descriptor, result);
        else if (name === 'fdatasync' || name === 'fsync') this.syncs.push({ called, returned });
        else throw new Error(`the file was changed with ${name}, which nothing here repeats`);
      }
    }
  }

  /**
   * What the disk may have of the file when the power fails at the instant: all that it was made to write by then, and
   * what is chosen of all else.
   */
  diskAt(instant: number, choice: Choice): Buffer {
    // An fsync is of what was written before it began.
    const synced = Math.max(-1, ...this.syncs.filter(({ returned }) => returned < instant).map(({ called }) => called));
    const begun = this.writes.filter(({ called }) => called < instant);
    const disk = Buffer.alloc(Math.max(0, ...begun.map(({ offset, data }) => offset + data.length)));
    let length = 0;
    for (const write of begun) {
      const { offset, data, isSynced, returned } = write;
      if (returned < synced || (isSynced && returned < instant)) {
        length = Math.max(length, offset + data.copy(disk, offset));
        continue;
      }
      for (let from = offset, to; from < offset + data.length; from = to) {
        to = Math.min(from - (from % SECTOR) + SECTOR, offset + data.length);
        if (!choice(write, from)) continue;
        data.copy(disk, from, from - offset, to - offset);
        length = Math.max(length, to);
      }
    }
    return disk.subarray(0, length);
  }

  /** Runs the shell's scripts, one after the other. What their processes print is in the trace only. */
  static async of(scripts: readonly string[], file: string, output: string): Promise<Trace> {
    const trace = new Trace();
    for (const script of scripts) {
      const child = spawn('strace', [...STRACE, '-o', output, 'sh', '-c', script], { cwd: ROOT, stdio: 'ignore' });
      await once(child, 'close');
      trace.add(readFileSync(output, 'latin1').split('\n'), file, readFileSync(file));
    }
    return trace;
  }
}

/** In the order in which they returned. What never returned comes last. */
function* callsOf(lines: readonly string[]): Iterable<Call> {
  const begun = new Map<string, { readonly called: number; readonly name: string; readonly text: string }>();
  for (const [at, line] of lines.entries()) {
    const pid = PID.exec(line)?.[0] ?? '';
    const [, name, resumed, rest = ''] = LINE.exec(line) ?? [];
    if (name !== undefined && rest.endsWith(UNFINISHED)) begun.set(pid, { called: at, name, text: rest.slice(0, -UNFINISHED.length) });
    else if (name !== undefined) yield callOf(name, rest, at, at);
    else if (resumed !== undefined) {
      const start = begun.get(pid);
      begun.delete(pid);
      if (start !== undefined) yield callOf(start.name, start.text + rest, start.called, at);
    }
  }
  for (const { name, text, called } of begun.values()) yield callOf(name, text, called, Infinity);
}

function callOf(name: string, text: string, called: number, returned: number): Call {
  const end = RESULT.exec(text.slice(-4_096));
  const args = end === null ? text : text.slice(0, text.lastIndexOf(end[0]));
  const descriptor = args.slice(0, args.indexOf('>') + 1).replace(HEX, '');
  return { name, called, returned, args, descriptor, result: Number(end?.[1]), resultPath: (end?.[2] ?? '').replace(HEX, '') };
}

/**
 * What the call has written. A process that is killed while it writes has written the beginning, and nothing of the
 * process comes later. The file tells how much that is.
 */
function writtenBy({ args, result }: Call, offset: number, actual: Buffer): Buffer {
  const data = Buffer.concat(textsOf(args));
  if (result >= 0) return data.subarray(0, result);
  const there = actual.subarray(offset, offset + data.length);
  const difference = there.findIndex((byte, i) => byte !== data[i]);
  return data.subarray(0, difference === -1 ? there.length : difference);
}

function textsOf(args: string): Buffer[] {
  return [...args.matchAll(/"([^"]*)"/g)].map(([, text = '']) => Buffer.from(text.replace(HEX, ''), 'hex'));
}
