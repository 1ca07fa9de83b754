import { Queue, Worker } from 'bullmq';
import { createLmdbBackend, type LmdbBackendFactory } from '../../src/bullmq-lmdb';
import { Environment } from '../../src/embedded/environment';
import { temporaryDirectory } from '../support/temp';

describe('a queue on LMDB', () => {
  let directory: ReturnType<typeof temporaryDirectory>;
  let environment: Environment;
  let factory: LmdbBackendFactory;
  let queue: ReturnType<typeof open>;
  let worker: ReturnType<typeof source>;

  const open = () => new Queue('lane', { connection: {} }, factory);
  const source = () =>
    new Worker('lane', null, { connection: {}, autorun: false, lockDuration: 60_000, removeOnComplete: { count: 0 } }, factory);

  async function start(): Promise<void> {
    environment = await Environment.open(directory.path);
    factory = createLmdbBackend(environment);
    await factory.recover();
    [queue, worker] = [open(), source()];
    await queue.waitUntilReady();
  }

  async function stop(): Promise<void> {
    await Promise.all([queue.close(), worker.close()]);
    await environment.close();
  }

  async function take(count: number) {
    const jobs = [];
    for (let i = 0; i < count; i++) jobs.push(await worker.getNextJob('t', { block: false }));
    return jobs;
  }

  const numbers = (jobs: Awaited<ReturnType<typeof take>>) => jobs.map((job) => (job?.data as { i: number } | undefined)?.i);

  beforeEach(async () => {
    directory = temporaryDirectory();
    await start();
  });
  afterEach(async () => {
    await stop();
    directory.remove();
  });

  it('has the formerly active jobs first, in order, after a restart', async () => {
    await queue.addBulk(Array.from({ length: 8 }, (_, i) => ({ name: 'job', data: { i } })));
    const taken = await take(4);
    await taken[1]?.moveToCompleted(null, 't', false);
    await taken[3]?.moveToWait('t');
    await stop();
    await start();
    expect(await queue.getJobCounts('waiting', 'active')).toEqual({ waiting: 7, active: 0 });
    await queue.add('job', { i: 8 });
    const again = await take(9);
    expect(numbers(again)).toEqual([0, 2, 3, 4, 5, 6, 7, 8, undefined]);
    expect(again[0]?.attemptsStarted).toBe(2);
    expect(again[0]?.stalledCounter).toBe(0);
  });

  it('keeps its settings, jobs and job numbers over a restart', async () => {
    await queue.add('job', { i: 0 }, { jobId: `own-${'x'.repeat(5_000)}` });
    await queue.add('job', { i: 1 }, { delay: 20 });
    await queue.setGlobalConcurrency(1);
    await queue.pause();
    await stop();
    await start();
    expect([await queue.isPaused(), await queue.getGlobalConcurrency()]).toEqual([true, 1]);
    expect((await queue.add('job', { i: 2 })).id).toBe('3');
    expect((await queue.getJob(`own-${'x'.repeat(5_000)}`))?.data).toEqual({ i: 0 });
    await queue.resume();
    const [first] = await take(1);
    expect(first?.id).toBe(`own-${'x'.repeat(5_000)}`);
    expect(numbers(await take(1))).toEqual([undefined]);
  });

  it('reports its progress', async () => {
    expect(factory.progress('lane')).toEqual({ tail: 0, oldest: null, waiting: null });
    await queue.addBulk(Array.from({ length: 5 }, (_, i) => ({ name: 'job', data: { i } })));
    await queue.add('job', {}, { jobId: 'own' });
    await queue.add('job', {}, { delay: 60_000 });
    expect(factory.progress('lane')).toEqual({ tail: 7, oldest: 1, waiting: 1 });
    const [one, two, three] = await take(3);
    expect(factory.progress('lane')).toEqual({ tail: 7, oldest: 1, waiting: 4 });
    await one?.moveToCompleted(null, 't', false);
    await three?.moveToWait('t');
    expect(factory.progress('lane')).toEqual({ tail: 7, oldest: 2, waiting: 3 });
    await two?.moveToCompleted(null, 't', false);
    for (const job of await take(3)) await job?.moveToCompleted(null, 't', false);
    expect(factory.progress('lane')).toEqual({ tail: 7, oldest: null, waiting: null });
    expect(factory.progress('another')).toEqual({ tail: 0, oldest: null, waiting: null });
  });

  // Redis tells no order of several that stall at once.
  it('puts stalled jobs first, in their order', async () => {
    const short = new Worker('lane', null, { connection: {}, autorun: false, lockDuration: 1, stalledInterval: 1 }, factory);
    await queue.addBulk(Array.from({ length: 6 }, (_, i) => ({ name: 'job', data: { i } })));
    for (let i = 0; i < 3; i++) await short.getNextJob('s', { block: false });
    await take(1);
    const backend = short.getBackend();
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(await backend.moveStalledJobsToWait()).toEqual([]);
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(await backend.moveStalledJobsToWait()).toEqual(['1', '2', '3']);
    expect(numbers(await take(6))).toEqual([0, 1, 2, 4, 5, undefined]);
    await short.close();
  });
});
