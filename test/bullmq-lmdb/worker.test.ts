import { Queue, UnrecoverableError, Worker, type Processor } from 'bullmq';
import { createLmdbBackend, type LmdbBackendFactory } from '../../src/bullmq-lmdb';
import { Environment } from '../../src/embedded/environment';
import { temporaryDirectory } from '../support/temp';
import { waitFor } from '../support/wait';

const CONNECTION = { connection: {} };

describe("BullMQ's classes on LMDB", () => {
  let directory: ReturnType<typeof temporaryDirectory>;
  let environment: Environment;
  let factory: LmdbBackendFactory;
  const opened: { close(): Promise<unknown> }[] = [];
  const failure = jest.fn();

  beforeEach(async () => {
    directory = temporaryDirectory();
    environment = await Environment.open(directory.path);
    factory = createLmdbBackend(environment);
    failure.mockClear();
  });
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((each) => each.close()));
    await environment.close();
    directory.remove();
    expect(failure).not.toHaveBeenCalled();
  });

  function queueOf(name: string) {
    const queue = new Queue(name, CONNECTION, factory);
    queue.on('error', failure);
    opened.push(queue);
    return queue;
  }

  function workerOf(name: string, processor: Processor | null, options: object = {}) {
    const worker = new Worker(name, processor, { ...CONNECTION, ...options }, factory);
    worker.on('error', failure);
    opened.unshift(worker);
    return worker;
  }

  it.each([1, 8])('process 100 jobs with a concurrency of %d', async (concurrency) => {
    const done: number[] = [];
    const queue = queueOf('work');
    workerOf('work', async ({ data }) => void done.push((data as { i: number }).i), { concurrency, removeOnComplete: { count: 0 } });
    for (let i = 0; i < 50; i++) await queue.add('job', { i });
    await queue.addBulk(Array.from({ length: 50 }, (_, i) => ({ name: 'job', data: { i: 50 + i } })));
    await waitFor('all of them', () => done.length === 100);
    if (concurrency > 1) done.sort((a, b) => a - b);
    expect(done).toEqual(Array.from({ length: 100 }, (_, i) => i));
    await waitFor('their end', async () => (await queue.getJobCountByTypes('waiting', 'active', 'delayed', 'completed', 'failed')) === 0);
  });

  it('retry failed jobs, at once or after a pause, and keep those that failed finally', async () => {
    const queue = queueOf('retry');
    const tries = new Map<string, number>();
    workerOf('retry', async ({ name, attemptsStarted }) => {
      tries.set(name, (tries.get(name) ?? 0) + 1);
      if (name === 'never') throw new UnrecoverableError('it never works');
      if (attemptsStarted < 3) throw new Error('not yet');
      return 'well';
    });
    await queue.add('at-once', {}, { attempts: 3 });
    await queue.add('later', {}, { attempts: 3, backoff: { type: 'fixed', delay: 20 } });
    await queue.add('too-few', {}, { attempts: 2 });
    await queue.add('never', {}, { attempts: 5 });
    await waitFor('their end', async () => (await queue.getJobCountByTypes('completed', 'failed')) === 4);
    expect(Object.fromEntries(tries)).toEqual({ 'at-once': 3, later: 3, 'too-few': 2, never: 1 });
    expect(
      (await queue.getJobs(['completed'])).map(({ name, returnvalue, attemptsMade }) => ({ name, returnvalue, attemptsMade })),
    ).toEqual([
      { name: 'later', returnvalue: 'well', attemptsMade: 3 },
      { name: 'at-once', returnvalue: 'well', attemptsMade: 3 },
    ]);
    expect((await queue.getJobs(['failed'])).map(({ failedReason }) => failedReason).sort()).toEqual(['it never works', 'not yet']);
  });

  it('share the jobs among workers', async () => {
    const queue = queueOf('shared');
    const done: number[][] = [[], []];
    for (const list of done) workerOf('shared', async ({ data }) => void list.push((data as { i: number }).i));
    await queue.addBulk(Array.from({ length: 100 }, (_, i) => ({ name: 'job', data: { i } })));
    await waitFor('all of them', () => done.flat().length === 100);
    expect(new Set(done.flat()).size).toBe(100);
    expect(Math.min(...done.map((list) => list.length))).toBeGreaterThan(0);
  });

  it('reject unsupported features with an error', async () => {
    const queue = queueOf('refused');
    await expect(queue.add('job', {}, { priority: 1 })).rejects.toThrow("BullMQ's backend on LMDB does not support a job with a priority");
    await expect(queue.upsertJobScheduler('each', { every: 1_000 })).rejects.toThrow('does not support');
    await expect(queue.setGlobalRateLimit(1, 1_000)).rejects.toThrow('a global rate limit');
    expect(() => workerOf('refused', null, { limiter: { max: 1, duration: 1_000 } })).toThrow('a rate limit');
    expect(await queue.getJobCounts()).toMatchObject({ waiting: 0, prioritized: 0 });
  });
});
