import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Environment } from '../../src/embedded/environment';
import { withProgram } from '../support/backends';
import { temporaryDirectory } from '../support/temp';
import { Work } from './power-work';
import { Trace, type Choice, type Write } from './trace';

const FILE = 'data.mdb';
const PAGE = 4096;
/** Where LMDB keeps what says which pages are in use. */
const METAS = 2 * PAGE;
const STEPS = 120;
const PROCESSES = 4;
const MORE_STEPS = 12;

/** What a disk may have of that which was not synced: each of these is asked for at each instant. */
const CHOICES: readonly (() => Choice)[] = [
  () => () => false,
  () => () => true,
  () =>
    ({ offset }) =>
      offset < METAS,
  () =>
    ({ offset }) =>
      offset >= METAS,
  () => some((write) => write.called),
  () => some((write, offset) => `${write.called} ${Math.floor(offset / PAGE)}`),
  () => some((write, offset) => `${write.called} ${offset}`),
];

/** Some of all that `part` tells apart. */
function some(part: (write: Write, offset: number) => unknown): Choice {
  const [known, odds] = [new Map<unknown, boolean>(), Math.random()];
  return (write, offset) => {
    const key = part(write, offset);
    const isThere = known.get(key) ?? Math.random() < odds;
    known.set(key, isThere);
    return isThere;
  };
}

/** Processes, one after the other, each of which kills itself. */
async function traced(mode = ''): Promise<{ trace: Trace; actual: Buffer }> {
  const [directory, output] = [temporaryDirectory(), temporaryDirectory()];
  const child = `'${process.execPath}' --import tsx test/embedded/power-child.ts '${directory.path}' ${STEPS} ${mode}`;
  const file = join(directory.path, FILE);
  const trace = await Trace.of(Array<string>(PROCESSES).fill(child), file, join(output.path, 'trace'));
  const actual = readFileSync(file);
  for (const { remove } of [directory, output]) remove();
  return { trace, actual };
}

function confirmedAt({ printed }: Trace, instant: number, what = /^confirmed (\d+)/): number[] {
  return printed.filter(({ called }) => called < instant).flatMap(({ text }) => (what.exec(text)?.slice(1) ?? []).map(Number));
}

/** LMDB trusts what was not synced where the machine has not been started since: in what was written, it has been. */
function asOfAnotherBoot(disk: Buffer): Buffer {
  const id = Buffer.alloc(8);
  id.writeBigInt64LE(BigInt(parseInt(readFileSync('/proc/sys/kernel/random/boot_id', 'latin1'), 16)));
  for (let at = disk.indexOf(id); at >= 0 && at < METAS; at = disk.indexOf(id)) disk.writeUInt8(disk.readUInt8(at) ^ 1, at);
  return disk;
}

/** Starts with what the disk has after the power failed at the instant. @returns what is wrong then */
async function afterFailure(trace: Trace, instant: number, choice: Choice): Promise<string[]> {
  const directory = temporaryDirectory();
  writeFileSync(join(directory.path, FILE), asOfAnotherBoot(trace.diskAt(instant, choice)));
  let environment = await Environment.open(directory.path);
  let work = new Work(environment);
  const { last } = work;
  const lost = confirmedAt(trace, instant)
    .filter((n) => n > last)
    .map((n) => `${n} was confirmed and is lost`);
  const differences = work.differences();
  // What is free was kept right, too, if nothing is overwritten now.
  await Promise.all(Array.from({ length: MORE_STEPS }, (_, i) => environment.durably(() => work.step(last + 1 + i))));
  await environment.close();
  environment = await Environment.open(directory.path);
  work = new Work(environment);
  const later = work.differences().map((difference) => `later: ${difference}`);
  if (work.last !== last + MORE_STEPS) later.push(`later: ${last + MORE_STEPS} is lost, ${work.last} is last`);
  await environment.close();
  directory.remove();
  return [...lost, ...differences, ...later];
}

async function afterFailures(trace: Trace, instants: readonly number[]): Promise<string[]> {
  const found: string[] = [];
  for (const instant of instants) {
    for (const [i, choice] of CHOICES.entries()) {
      const problems = await afterFailure(trace, instant, choice());
      found.push(...problems.map((problem) => `instant ${instant}, choice ${i}: ${problem}`));
    }
  }
  return found;
}

// Hundreds of starts from what a disk may have take a minute on a busy machine.
jest.setTimeout(240_000);

describe('the data file after a power failure', () => {
  withProgram('strace', () => {
    let trace: Trace;
    let actual: Buffer;
    beforeAll(async () => {
      ({ trace, actual } = await traced());
    });

    it('is reconstructed from a trace that contains every write', () => {
      expect(trace.diskAt(Infinity, () => true).equals(actual)).toBe(true);
      expect(trace.syncs.length).toBeGreaterThan(20);
      expect(confirmedAt(trace, Infinity).length).toBeGreaterThan(STEPS);
      // Transactions are written while others are synced.
      expect(
        trace.syncs.filter((sync) => trace.writes.some(({ called }) => called > sync.called && called < sync.returned)).length,
      ).toBeGreaterThan(5);
    });

    it('has every write that durably() confirmed, and no later one without it', async () => {
      const { printed, syncs, writes } = trace;
      const from = writes[0]?.called ?? 0;
      const any = Array.from({ length: 30 }, () => from + Math.floor(Math.random() * ((writes.at(-1)?.called ?? 0) - from)));
      const confirmations = printed.filter((_, i) => i % 60 === 0).map(({ returned }) => returned + 1);
      const behindSyncs = syncs.filter((_, i) => i % 8 === 0).map(({ returned }) => returned + 1);
      expect(await afterFailures(trace, [...any, ...confirmations, ...behindSyncs])).toEqual([]);
    });

    it('has every confirmed write even during the first transactions after a start', async () => {
      for (const opened of trace.opened) {
        const first = trace.writes.filter(({ called }) => called > opened).slice(0, 15);
        expect(
          await afterFailures(
            trace,
            first.map(({ called }) => called + 1),
          ),
        ).toEqual([]);
      }
    });

    it('has every write that write() confirmed when only the process was killed', () => {
      const start = trace.printed.filter(({ text }) => text.startsWith('began')).at(-1);
      const [began = 0] = /\d+/.exec(start?.text ?? '')?.map(Number) ?? [];
      const before = start?.called ?? 0;
      expect(confirmedAt(trace, before, /^(?:confirmed|written) (\d+)/).filter((n) => n > began)).toEqual([]);
      expect(confirmedAt(trace, before, /^written (\d+)/).length).toBeGreaterThan(STEPS / 8);
    });

    // Not with write() in place of durably(): lmdb tells both when its transaction is on the disk.
    it('would lack a write that was confirmed before its transaction was committed', async () => {
      const early = (await traced('early')).trace;
      const instants = early.printed.filter((_, i) => i % 60 === 0).map(({ returned }) => returned + 1);
      const problems: string[] = [];
      for (const instant of instants) problems.push(...(await afterFailure(early, instant, () => false)));
      expect(problems.filter((problem) => problem.endsWith('was confirmed and is lost'))).not.toEqual([]);
    });
  });
});
