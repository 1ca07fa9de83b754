import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Queue, Worker } from 'bullmq';
import { createLmdbBackend } from '../../src/bullmq-lmdb';
import { Environment } from '../../src/embedded/environment';
import { temporaryDirectory } from '../support/temp';
import { waitFor } from '../support/wait';

const ROOT = join(__dirname, '../..');
const ROUNDS = 10;

/** Runs killed.ts, kills it at some instant after it has said that word, and returns what it has said. */
async function killedRun(directory: string, first: number, word: 'added' | 'completed'): Promise<string[]> {
  const child = spawn(process.execPath, ['--import', 'tsx', 'test/bullmq-lmdb/killed.ts', directory, String(first)], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  await waitFor(word, () => output.includes(`${word} `), 30_000);
  await sleep(Math.random() * 300);
  child.kill('SIGKILL');
  await once(child, 'close');
  // The last line may be cut off.
  return output.split('\n').slice(0, -1);
}

describe('a BullMQ process on LMDB that is killed', () => {
  it('loses no added job, repeats no completed job and keeps their order', async () => {
    const directory = temporaryDirectory();
    const [added, completing, completed] = [new Set<number>(), new Set<number>(), new Set<number>()];
    // On a slow machine a process may be killed before it has completed anything. More rounds, each with a completed job, make up for that.
    for (let round = 0; round < ROUNDS || completed.size <= ROUNDS; round++) {
      for (const line of await killedRun(directory.path, round * 1_000_000, round < ROUNDS ? 'added' : 'completed')) {
        const [what, n] = line.split(' ');
        const set = { added, completing, completed }[what ?? ''];
        set?.add(Number(n));
      }
      const environment = await Environment.open(directory.path);
      const factory = createLmdbBackend(environment);
      await factory.recover();
      const queue = new Queue('lane', { connection: {} }, factory);
      const ids = (await queue.getRanges(['waiting'], 0, -1, false)).reverse();
      const left = await Promise.all(ids.map(async (id) => ((await queue.getJob(id))?.data as { n: number }).n));
      expect(await queue.getJobCounts('waiting', 'active')).toEqual({ waiting: left.length, active: 0 });
      const there = new Set(left);
      expect(there.size).toBe(left.length);
      expect([...added].filter((n) => !there.has(n) && !completing.has(n))).toEqual([]);
      expect(left.filter((n) => completed.has(n))).toEqual([]);
      // What was given back while others were active may be in front of them.
      const later = left.filter((n) => !completing.has(n)).slice(4);
      expect(later).toEqual([...later].sort((a, b) => a - b));
      await queue.close();
      await environment.close();
    }
    expect(completed.size).toBeGreaterThan(ROUNDS);

    const environment = await Environment.open(directory.path);
    const worker = new Worker(
      'lane',
      null,
      { connection: {}, autorun: false, removeOnComplete: { count: 0 } },
      createLmdbBackend(environment),
    );
    const done = new Set<number>();
    for (
      let job = await worker.getNextJob('t', { block: false });
      job !== undefined;
      job = await worker.getNextJob('t', { block: false })
    ) {
      done.add((job.data as { n: number }).n);
      await job.moveToCompleted(null, 't', false);
    }
    expect([...added].filter((n) => !done.has(n) && !completing.has(n))).toEqual([]);
    await worker.close();
    await environment.close();
    directory.remove();
  }, 180_000);
});
