import { readFileSync } from 'node:fs';

/** Clock ticks per second, as /proc counts them on Linux. */
const TICKS_PER_SECOND = 100;

/** The CPU time that the process has used so far, user and system, all threads, in microseconds. */
export function cpuMicros(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return ((Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND) * 1e6;
}
