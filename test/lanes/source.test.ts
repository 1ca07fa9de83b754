import type { Job } from 'bullmq';
import { JobSource } from '../../src/lanes/source';

type Answer = { readonly moveToWait: jest.Mock } | undefined;

/** A BullMQ worker whose waits end when the test says so. */
class PlayedWorker {
  readonly name = 'lane';
  readonly asked: ((job: Answer) => void)[] = [];
  readonly tokens: string[] = [];
  closes: Promise<void> = Promise.resolve();

  constructor(readonly id: string) {}

  getNextJob(token: string): Promise<Job | undefined> {
    this.tokens.push(token);
    return new Promise((resolve) => this.asked.push(resolve as (job: Answer) => void));
  }

  async pause(): Promise<void> {}
  close(): Promise<void> {
    return this.closes;
  }
  getBackend(): { disconnectBlocking: () => Promise<void> } {
    return { disconnectBlocking: async () => undefined };
  }
}

const job = (): { readonly moveToWait: jest.Mock } => ({ moveToWait: jest.fn(async () => undefined) });

/** On a Redis Cluster whose node died, BullMQ's wait for a job was seen never to end. */
describe('a source of jobs whose wait does not end', () => {
  const made: PlayedWorker[] = [];
  const source = (stuckMs?: number): JobSource =>
    new JobSource(
      () => {
        const worker = new PlayedWorker(`w${made.length}`);
        made.push(worker);
        return worker as never;
      },
      stuckMs === undefined ? {} : { stuckMs },
    );

  beforeEach(() => void made.splice(0));

  it('asks another worker, and gives a job back that the first one gets after all', async () => {
    const jobs = source(20);
    expect(await jobs.next(true)).toBeNull();
    const found = jobs.next(true);
    const [first, second] = made;
    const wanted = job();
    second?.asked[0]?.(wanted);
    expect(await found).toEqual({ job: wanted, token: second?.tokens[0] });
    const late = job();
    first?.asked[0]?.(late);
    await new Promise(setImmediate);
    expect(late.moveToWait.mock.calls).toEqual([[first?.tokens[0]]]);
    expect(made).toHaveLength(2);
  });

  it('is more patient with each worker that gets nothing, because the database may be away', async () => {
    const jobs = source(20);
    const waits: number[] = [];
    for (let i = 0; i < 3; i++) {
      const start = performance.now();
      await jobs.next(true);
      waits.push(performance.now() - start);
    }
    expect(waits[1]).toBeGreaterThan(35);
    expect(waits[2]).toBeGreaterThan(75);
  });

  describe('with a clock of the test', () => {
    beforeEach(() => void jest.useFakeTimers());
    afterEach(() => void jest.useRealTimers());

    /** Waits for a job, of which none comes. @returns after how long the worker was replaced (ms), in steps of 5 ms. */
    const patienceOf = async (jobs: JobSource): Promise<number> => {
      let isOver = false;
      const waiting = jobs.next(true).finally(() => (isOver = true));
      let waited = 0;
      for (; !isOver; waited += 5) await jest.advanceTimersByTimeAsync(5);
      expect(await waiting).toBeNull();
      return waited;
    };

    // The guard is the first line after a wait that has ended.
    it('loses its patience again when a worker has answered, with a job or without one', async () => {
      for (const answer of [job(), undefined]) {
        const jobs = source(20);
        expect([await patienceOf(jobs), await patienceOf(jobs)]).toEqual([20, 40]);
        const waiting = jobs.next(true);
        await jest.advanceTimersByTimeAsync(0);
        made.at(-1)?.asked[0]?.(answer);
        expect((await waiting)?.job).toBe(answer);
        expect(await patienceOf(jobs)).toBe(20);
      }
    });

    // The guard is MOST_PATIENCE_MS.
    it('is never more patient than a minute', async () => {
      const jobs = source(25_000);
      expect([await patienceOf(jobs), await patienceOf(jobs), await patienceOf(jobs)]).toEqual([25_000, 50_000, 60_000]);
    });
  });

  // Promise 14. The guard is the catch in next().
  it('ignores the error of a wait that was given up, and closes its worker, too', async () => {
    const errors: unknown[] = [];
    const note = (error: unknown) => errors.push(error);
    process.on('unhandledRejection', note);
    const jobs = source(20);
    expect(await jobs.next(true)).toBeNull();
    const late = { moveToWait: jest.fn(() => Promise.reject(new Error('Missing lock'))) };
    made[0]?.asked[0]?.(late);
    await new Promise((resolve) => setTimeout(resolve, 20));
    process.off('unhandledRejection', note);
    expect([late.moveToWait.mock.calls.length, errors]).toEqual([1, []]);
    const closed = made.map((worker) => jest.spyOn(worker, 'close'));
    await jobs.close();
    expect(closed.map((close) => close.mock.calls.length)).toEqual([1, 1]);
  });

  // While Redis is away, BullMQ may wait for the end of a connection that is never made. The guard is the race in stopTaking().
  it('stops taking jobs although its connection does not end', async () => {
    const jobs = source();
    const waiting = jobs.next(true);
    jest.spyOn(made[0]!, 'getBackend').mockReturnValue({ disconnectBlocking: () => new Promise(() => undefined) });
    await jobs.stopTaking();
    expect(await waiting).toBeNull();
  }, 10_000);

  it('does not keep the process from stopping', async () => {
    const jobs = source();
    const waiting = jobs.next(true);
    await jobs.stopTaking();
    expect(await waiting).toBeNull();
    made[0]!.closes = new Promise(() => undefined);
    await jobs.close();
    expect(made).toHaveLength(1);
  });
});
