import { Consumer, type ConsumerOptions } from '../../src/lanes/consumer';
import type { LaneJob } from '../../src/lanes/jobs';
import type { JobSource, Taken } from '../../src/lanes/source';
import { waitFor } from '../support/wait';

/** What the queue's database answers to one request for a job: a job with this id, no job, or an error. */
type Answer = number | null | Error;

/** A lane whose requests for jobs are answered one after the other. At the end a wait for a job does not end. */
class PlayedSource {
  readonly name = 'lane';
  readonly completed: string[][] = [];
  private stop: () => void = () => undefined;

  constructor(private readonly answers: Answer[]) {}

  async open(): Promise<void> {}

  async next(waits: boolean): Promise<Taken | null> {
    if (this.answers.length === 0) return waits ? new Promise((resolve) => (this.stop = () => resolve(null))) : null;
    const answer = this.answers.shift() as Answer;
    if (answer instanceof Error) throw answer;
    if (answer === null) return null;
    return { job: { id: String(answer), data: { events: [answer] }, timestamp: Date.now() } as never, token: 't' };
  }

  async complete(taken: readonly Taken[]): Promise<void> {
    this.completed.push(taken.map(({ job }) => job.id ?? ''));
  }

  async renew(): Promise<string[]> {
    return [];
  }

  async stopTaking(): Promise<void> {
    this.stop();
  }

  async close(): Promise<void> {}
}

describe('a consumer', () => {
  const retries: string[] = [];
  const fail = (error: unknown) => {
    throw error;
  };
  const work = {
    knows: () => true,
    handle: async () => [],
    split: (job: LaneJob) => [job],
    isAway: async () => false,
    postpone: async () => undefined,
    setAside: async () => undefined,
  };
  const options: ConsumerOptions = {
    ...{ ownership: null, maxEvents: 100, maxBytes: 1e6, onDone: () => undefined },
    onRetry: (_lane, { message }) => void retries.push(message),
  };

  // The guard is allSettled. With Promise.all the job 3 is forgotten: it stays locked, and comes again after younger ones.
  it('handles the jobs that it got when another request for a job failed', async () => {
    const source = new PlayedSource([1, 2, new Error('the connection was lost'), 3]);
    const consumer = new Consumer(source as unknown as JobSource, work, options);
    consumer.start(fail);
    await waitFor('the batch', () => source.completed.length === 1);
    expect([source.completed, retries]).toEqual([[['1', '2', '3']], ['the connection was lost']]);
    await consumer.close();
  });

  // Promise 6. The guard is the sort in Consumer.take().
  it('handles the jobs of a batch in the order of their numbers when the queue answers in another order', async () => {
    const source = new PlayedSource([2, 1, 3]);
    const consumer = new Consumer(source as unknown as JobSource, work, options);
    consumer.start(fail);
    await waitFor('the batch', () => source.completed.length === 1);
    expect(source.completed).toEqual([['1', '2', '3']]);
    await consumer.close();
  });

  // The guards are the two waits in Consumer.run(). Without them a lane that is behind would take all of its jobs at
  // once, or the owner of a client lane would handle two batches of a mailbox at the same time.
  it.each([
    ['two batches at a time of a message lane', null, 2],
    [
      'one batch at a time of a lane that it owns',
      { hold: async () => true, renew: async () => undefined, release: async () => undefined },
      1,
    ],
  ])('handles %s that is behind', async (_name, ownership, most) => {
    const source = new PlayedSource([1, 2, 3, 4, 5, 6, 7, 8]);
    const ends: (() => void)[] = [];
    const handle = () => new Promise<[]>((resolve) => ends.push(() => resolve([])));
    const consumer = new Consumer(source as unknown as JobSource, { ...work, handle }, { ...options, ownership, maxEvents: 2 });
    consumer.start(fail);
    for (let done = 0; done < 4; done++) {
      await waitFor('the next batch', () => ends.length >= Math.min(4, done + most));
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(ends).toHaveLength(Math.min(4, done + most));
      ends[done]?.();
    }
    await waitFor('all', () => source.completed.length === 4);
    expect(source.completed).toEqual([1, 3, 5, 7].map((id) => [`${id}`, `${id + 1}`]));
    await consumer.close();
  });
});
