import { setTimeout as sleep } from 'node:timers/promises';
import { Queue, Worker } from 'bullmq';
import { createLmdbBackend, type LmdbBackendFactory } from '../../src/bullmq-lmdb';
import { Environment } from '../../src/embedded/environment';
import { temporaryDirectory } from '../support/temp';

/** How long a wait lasts that nothing ends. */
const LONG_S = 30;
/** On a busy machine what ends a wait at once may take a while. */
const AT_ONCE_MS = LONG_S * 500;

describe('the wait for a job on LMDB', () => {
  let directory: ReturnType<typeof temporaryDirectory>;
  let environment: Environment;
  let factory: LmdbBackendFactory;
  const opened: { close(): Promise<unknown> }[] = [];

  beforeEach(async () => {
    directory = temporaryDirectory();
    environment = await Environment.open(directory.path);
    factory = createLmdbBackend(environment);
  });
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((each) => each.close()));
    await environment.close();
    directory.remove();
  });

  function queueOf(name: string) {
    const queue = new Queue(name, { connection: {} }, factory);
    opened.push(queue);
    return queue;
  }

  function workerOf(name: string) {
    const worker = new Worker(name, null, { connection: {}, autorun: false, drainDelay: LONG_S, removeOnComplete: { count: 0 } }, factory);
    opened.unshift(worker);
    return worker;
  }

  /** A worker that has found the queue empty, so that it waits when it is asked again. */
  async function idleWorker(name: string) {
    const worker = workerOf(name);
    expect(await worker.getNextJob('first', { block: false })).toBeUndefined();
    return worker;
  }

  async function timed<T>(work: Promise<T>): Promise<{ result: T; ms: number }> {
    const start = performance.now();
    const result = await work;
    return { result, ms: performance.now() - start };
  }

  it('ends at once when a job is added, even just before the wait', async () => {
    const [queue, worker] = [queueOf('lane'), await idleWorker('lane')];
    for (let i = 0; i < 5; i++) {
      const next = timed(worker.getNextJob(`t${i}`));
      await sleep(20);
      const added = performance.now();
      await queue.add('job', { i });
      const { result } = await next;
      expect(performance.now() - added).toBeLessThan(AT_ONCE_MS);
      expect(result?.data).toEqual({ i });
      await result?.moveToCompleted(null, `t${i}`, false);
      expect(await worker.getNextJob('none', { block: false })).toBeUndefined();
    }
    // It is not yet committed when the wait begins.
    const adding = queue.add('job', { i: 5 });
    const { result, ms } = await timed(worker.getNextJob('last'));
    expect([result?.data, ms < AT_ONCE_MS]).toEqual([{ i: 5 }, true]);
    await adding;
  });

  it('ends when a delayed job is due', async () => {
    const [queue, worker] = [queueOf('lane'), await idleWorker('lane')];
    const next = timed(worker.getNextJob('t'));
    await sleep(20);
    await queue.add('far', {}, { delay: 60_000 });
    await queue.add('near', {}, { delay: 150 });
    const { result, ms } = await next;
    expect(result?.name).toBe('near');
    expect(ms).toBeGreaterThanOrEqual(150);
    expect(ms).toBeLessThan(AT_ONCE_MS);
  });

  it('ends when a job is given back, a place becomes free or the queue resumes', async () => {
    const [queue, holder, worker] = [queueOf('lane'), workerOf('lane'), workerOf('lane')];
    await queue.setGlobalConcurrency(1);
    await queue.addBulk([
      { name: 'one', data: {} },
      { name: 'two', data: {} },
    ]);
    const one = await holder.getNextJob('holder');
    expect(await worker.getNextJob('t', { block: false })).toBeUndefined();
    const again = timed(worker.getNextJob('t'));
    await one?.moveToWait('holder');
    const taken = await again;
    expect([taken.result?.name, taken.ms < AT_ONCE_MS]).toEqual(['one', true]);

    expect(await holder.getNextJob('holder', { block: false })).toBeUndefined();
    const second = timed(holder.getNextJob('holder'));
    expect(await Promise.race([second, sleep(100)])).toBeUndefined();
    await queue.pause();
    await taken.result?.moveToCompleted(null, 't', false);
    expect(await Promise.race([second, sleep(100)])).toBeUndefined();
    const resumed = performance.now();
    await queue.resume();
    expect((await second).result?.name).toBe('two');
    expect(performance.now() - resumed).toBeLessThan(AT_ONCE_MS);
  });

  it('ends without a job after its timeout, disconnectBlocking or close', async () => {
    const backend = (await idleWorker('lane')).getBackend();
    const short = await timed(backend.waitForJob(0.1));
    expect(short.result).toBeNull();
    expect(short.ms).toBeGreaterThanOrEqual(99);
    const wait = timed(backend.waitForJob(LONG_S));
    await sleep(20);
    await backend.disconnectBlocking();
    expect((await wait).ms).toBeLessThan(AT_ONCE_MS);
    expect((await timed(backend.waitForJob(LONG_S))).ms).toBeLessThan(AT_ONCE_MS);
    await backend.reconnectBlocking();
    const last = timed(backend.waitForJob(LONG_S));
    await sleep(20);
    await backend.close();
    expect((await last).ms).toBeLessThan(AT_ONCE_MS);
    expect(await backend.waitForJob(LONG_S)).toBeNull();
  });

  it('ends at once before the first look at the queue and after an error', async () => {
    const backend = workerOf('lane').getBackend();
    expect(await backend.waitForJob(LONG_S)).toEqual({ member: '0', score: 0 });
    await backend.moveToActive('t');
    const write = jest.spyOn(environment, 'write').mockRejectedValueOnce(new Error('disk full'));
    const wait = timed(backend.waitForJob(LONG_S));
    await expect(backend.remove('1')).rejects.toThrow('disk full');
    expect((await wait).ms).toBeLessThan(AT_ONCE_MS);
    write.mockRestore();
  });
});
