import { PgliteEngine } from '../../src/embedded/engine';
import { RetryableError } from '../../src/base/errors';
import type { QueueBackend } from '../../src/lanes/backend';
import { Budget } from '../../src/lanes/batcher';
import { Consumer, type LaneWork } from '../../src/lanes/consumer';
import { Gate } from '../../src/lanes/gate';
import { isMessageJob, type ClientJob, type GatedJob, type Item, type MessageJob } from '../../src/lanes/jobs';
import { Lanes, MAX_JOB_BYTES, MAX_JOB_EVENTS } from '../../src/lanes/lanes';
import { clientLane, laneOf, messageLane } from '../../src/lanes/names';
import { PostgresQueue } from '../../src/lanes/postgres';
import { RedisQueue } from '../../src/lanes/redis';
import { splitClients, splitMessages } from '../../src/lanes/split';
import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { emptyRedis, redisUrl } from '../support/redis';
import { temporaryDirectory } from '../support/temp';
import { waitFor } from '../support/wait';

const fail = (error: unknown): never => {
  throw error;
};
const ack = (topic: string, id: string): Item => ({ write: { kind: 'ack', id, topic, clientid: 'c', ours: false } });
const request = (filter: string): Item => ({ deliver: { clientid: 'c', filter, qos: 1, at: 0 } });
const idsOf = (jobs: readonly MessageJob[]): string[] => jobs.flatMap(({ data }) => data.events.map((event) => (event.kind === 'ack' ? event.id : '')));

function deferred<T = void>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((done) => (resolve = done));
  return { promise, resolve };
}

interface Kind {
  readonly name: string;
  /** Makes an empty queue. */
  open(onError: (error: Error) => void): Promise<QueueBackend>;
  /** The queue again, as after a new start of the server. */
  reopen(onError: (error: Error) => void): QueueBackend;
  close?(): Promise<void>;
}

function suite({ name, open, reopen, close }: Kind): void {
  describe(`the queue on ${name}`, () => {
    let backend: QueueBackend;
    let lanes: Lanes;
    let consumers: { close(): Promise<void> }[] = [];
    let errors: string[] = [];
    const retries: string[] = [];
    const onError = (error: Error) => void errors.push(error.message);

    const consumer = <J extends MessageJob | ClientJob>(lane: string, work: Partial<LaneWork<J>>, split: (job: J) => J[], maxEvents: number) => {
      const none = async () => undefined;
      const whole: LaneWork<J> = { knows: () => true, handle: none, split, isAway: async () => false, postpone: (part, delay) => lanes.again(lane, part, delay), setAside: none, ...work };
      const options = { maxEvents, maxBytes: MAX_JOB_BYTES, onDone: () => undefined, onRetry: (_: string, error: Error) => void retries.push(error.message) };
      const made = new Consumer(backend.source(lane), whole, options);
      consumers.push(made);
      return made;
    };
    /** Message lanes work as the test says; client lanes as in the server, with a delivery that the test says. */
    const work = async (messages: Partial<LaneWork<MessageJob>>, deliver: (job: ClientJob, again: boolean) => Promise<void> = async () => undefined) => {
      const { laneCounts, sequence } = backend;
      const gate = new Gate(sequence, lanes, laneCounts);
      const handleIn = (lane: string) => async ([job]: readonly ClientJob[], again: boolean) => {
        if (job === undefined) return;
        const own: ClientJob = job.name === 'clients' ? { name: 'subscribed', data: { requests: job.data.requests } } : job;
        if (again || (await gate.isOpenFor(lane, own as GatedJob))) await deliver(own, again);
      };
      const made = [
        ...Array.from({ length: laneCounts.messages }, (_, lane) => consumer(messageLane(lane), messages, splitMessages, MAX_JOB_EVENTS)),
        ...Array.from({ length: laneCounts.clients }, (_, lane) => consumer(clientLane(lane), { handle: handleIn(clientLane(lane)) }, splitClients, 1)),
      ];
      await Promise.all(made.map((each) => each.open()));
      for (const each of made) each.start(fail);
    };
    const stop = async () => {
      await Promise.all(consumers.map((each) => each.close()));
      consumers = [];
    };
    const jobsIn = async (lane: string) => (await lanes.counts()).find((each) => each.name === lane)?.waiting ?? 0;
    const empty = () => waitFor('the lanes to be empty', async () => (await lanes.counts()).every((lane) => lane.waiting + lane.active === 0));
    const LANE = () => messageLane(laneOf('t/1', backend.laneCounts.messages));

    beforeEach(async () => {
      errors = [];
      retries.length = 0;
      backend = await open(onError);
      await backend.prepare();
      lanes = new Lanes(backend, new Budget({ items: 1e9, bytes: 1e9 }));
      await lanes.prepare();
    });
    afterEach(async () => {
      await stop();
      await lanes.close();
      await backend.close();
      await close?.();
      expect(errors).toEqual([]);
    });

    it('keeps the order of a topic and puts what comes together into few jobs', async () => {
      const ids = Array.from({ length: 1000 }, (_, i) => `m${i}`);
      await Promise.all(ids.map((id) => lanes.put([ack('t/1', id)])));
      expect(await jobsIn(LANE())).toBeLessThan(20);
      const seen: string[] = [];
      await work({ handle: async (jobs) => void seen.push(...idsOf(jobs)) });
      await empty();
      expect(seen).toEqual(ids);
    });

    it('does many small jobs of a lane at once, and no more than belong into one batch', async () => {
      for (let i = 0; i < 600; i++) await lanes.put([ack('t/1', `m${i}`)]);
      expect(await jobsIn(LANE())).toBe(600);
      const sizes: number[] = [];
      const seen: string[] = [];
      await work({
        handle: async (jobs) => {
          sizes.push(idsOf(jobs).length);
          seen.push(...idsOf(jobs));
        },
      });
      await empty();
      expect(seen).toEqual(Array.from({ length: 600 }, (_, i) => `m${i}`));
      expect(sizes.length).toBeLessThan(8);
      expect(Math.max(...sizes)).toBeLessThanOrEqual(MAX_JOB_EVENTS);
    });

    // Promise 4. The guard is Gate: without it the delivery runs at once.
    it.each(['t/1', 't/+', '$share/g/t/1', '$share/g/#'])('holds a delivery for %s back until the writes before it are done', async (filter) => {
      const order: string[] = [];
      const release = deferred();
      const delivered = deferred();
      await work(
        {
          handle: async () => {
            await release.promise;
            order.push('write');
          },
        },
        async (job) => {
          const filters = job.name === 'subscribed' ? job.data.requests.map((each) => each.filter) : [];
          order.push(...filters);
          if (filters.includes(filter)) delivered.resolve();
        },
      );
      await lanes.put([ack('t/1', 'm')]);
      await lanes.put([request(filter)]);
      const putOff = async () => (await lanes.counts()).some(({ delayed }) => delayed > 0);
      await waitFor('the delivery to be put off', async () => order.length > 0 || (await putOff()));
      const early = [...order];
      release.resolve();
      expect(early).toEqual([]);
      await delivered.promise;
      expect(order).toEqual(['write', filter]);
    });

    it('makes one job of a SUBSCRIBE, exact or wildcard, shared by all that come with it', async () => {
      const total = async () => (await lanes.counts()).reduce((sum, { waiting, delayed }) => sum + waiting + delayed, 0);
      await lanes.put([request('t/1')]);
      expect(await total()).toBe(1);
      await lanes.put([request('#')]);
      expect(await total()).toBe(2);
      await Promise.all(Array.from({ length: 50 }, () => lanes.put([request('t/+')])));
      expect(await total()).toBeLessThanOrEqual(4);
      const done: string[] = [];
      await work({}, async (job) => void (job.name === 'subscribed' && done.push(...job.data.requests.map(({ filter }) => filter))));
      await empty();
      expect(done).toHaveLength(52);
      // A quiet queue needs no other job for them.
      expect(await total()).toBe(0);
    });

    it('tries the same jobs again after a transient error while something is away, before any later ones of the lane', async () => {
      const seen: string[] = [];
      let failures = 5;
      await lanes.put([ack('t/1', 'first')]);
      await work({
        isAway: async () => true,
        handle: async (jobs) => {
          if (failures-- > 0) throw new RetryableError('the store is away');
          seen.push(...idsOf(jobs));
        },
      });
      await lanes.put([ack('t/1', 'second')]);
      await waitFor('both', () => seen.length === 2);
      expect(seen).toEqual(['first', 'second']);
    });

    // What was acknowledged since it was first begun may be in its lane still. The guard is `again` in Consumer.
    it('tells a delivery that it is tried again', async () => {
      const told: boolean[] = [];
      const done = deferred();
      await work({}, async (_job, again) => {
        told.push(again);
        if (!again) throw new RetryableError('EMQX is away');
        done.resolve();
      });
      await lanes.put([request('t/1')]);
      await done.promise;
      expect(told).toEqual([false, true]);
    });

    it('sets aside what fails for good, however often that takes, and goes on with its neighbours (promise 13)', async () => {
      const aside: string[] = [];
      const seen: string[] = [];
      let refusals = 2;
      await lanes.put([ack('t/1', 'good'), ack('t/1', 'poison'), ack('t/1', 'fine')]);
      await work({
        handle: async (jobs) => {
          if (idsOf(jobs).includes('poison')) throw new TypeError('a bug');
          seen.push(...idsOf(jobs));
        },
        setAside: async (part, reason) => {
          if (refusals-- > 0) throw new TypeError('another bug');
          aside.push(`${idsOf([part]).join()}: ${reason}`);
        },
      });
      await lanes.put([ack('t/1', 'later')]);
      await waitFor('the later one', () => seen.includes('later'));
      expect(aside).toEqual(['poison: a bug']);
      expect(new Set(seen)).toEqual(new Set(['good', 'fine', 'later']));
    });

    // The guard is `knows` in Consumer: the writer failed on it again and again, and its lane stood still.
    it('sets aside a job that another version of the server has left', async () => {
      const aside: unknown[] = [];
      const seen: string[] = [];
      const queue = backend.queue(LANE());
      await queue.setGlobalConcurrency(1);
      await queue.add('fence', { left: 'behind' });
      await queue.close();
      await lanes.prepare();
      await lanes.put([ack('t/1', 'good')]);
      await work({
        knows: isMessageJob,
        handle: async (jobs) => void seen.push(...idsOf(jobs)),
        setAside: async ({ name, data }, reason) => void aside.push({ name, data, reason }),
      });
      await waitFor('the other one', () => seen.length === 1);
      expect(aside).toEqual([{ name: 'fence', data: { left: 'behind' }, reason: 'this version of the server does not know such a job' }]);
      await empty();
    });

    // Promise 20. The guard is Consumer.doApart: the lane stood still behind the poisoned one for ever.
    it('goes on without an event whose transient error is its own, and tries that one again by itself', async () => {
      const seen: string[] = [];
      let isPoisoned = true;
      await lanes.put([ack('t/1', 'good'), ack('t/1', 'poison')]);
      await work({
        handle: async (jobs) => {
          if (isPoisoned && idsOf(jobs).includes('poison')) throw new RetryableError('a deadlock, it says');
          seen.push(...idsOf(jobs));
        },
      });
      await lanes.put([ack('t/1', 'later')]);
      await waitFor('the later one', () => seen.includes('later'));
      expect(seen).not.toContain('poison');
      isPoisoned = false;
      await waitFor('the poisoned one', () => seen.includes('poison'), 8_000);
    });

    // The guard is `tries`, which the part carries: it would be tried for ever.
    it('sets aside in the end what keeps failing by itself', async () => {
      const aside: string[] = [];
      const postponed: number[] = [];
      await lanes.put([ack('t/1', 'poison')]);
      await work({
        handle: async () => Promise.reject(new RetryableError('a deadlock, it says')),
        // At once, instead of after five minutes in all.
        postpone: async (part, delay) => {
          postponed.push(delay);
          await lanes.again(LANE(), part, 0);
        },
        setAside: async (part, reason) => void aside.push(`${idsOf([part]).join()}: ${reason}`),
      });
      await waitFor('it to be set aside', () => aside.length > 0, 25_000);
      expect(aside).toEqual(['poison: a deadlock, it says']);
      expect(postponed).toEqual([2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000]);
    }, 30_000);

    // Promises 1 and 4. On PostgreSQL a guard is the trigger keep_place (migrations/queue): without it the jobs of the dead process come last.
    it('takes over the jobs of a process that died, in their place', async () => {
      await lanes.put([ack('t/1', 'in hand')]);
      await lanes.put([ack('t/1', 'in hand, too')]);
      const dying = reopen(onError);
      await dying.prepare();
      const source = dying.source(LANE());
      await source.open();
      expect((await source.next(true))?.job.name).toBe('events');
      expect((await source.next(false))?.job.name).toBe('events');
      await lanes.put([ack('t/1', 'later')]);
      // Its deliveries must not run before what it had in hand is done again.
      const behind = await backend.sequence.progress([LANE()]);
      expect(behind.get(LANE())?.oldest).toBe(Math.min(...[...behind.values()].map(({ oldest, tail }) => oldest ?? tail)));
      expect(behind.get(LANE())?.oldest).toBeLessThan(behind.get(LANE())?.tail ?? 0);
      await source.close();
      await dying.close();

      // The next start of the server.
      await backend.prepare();
      const seen: string[] = [];
      await work({ handle: async (jobs) => void seen.push(...idsOf(jobs)) });
      await waitFor('all', () => new Set(seen).size === 3, 40_000);
      expect(new Set(seen)).toEqual(new Set(['in hand', 'in hand, too', 'later']));
      await empty();
    }, 60_000);

    it('gives jobs back to their place when it stops in the middle of retries', async () => {
      const tried = deferred();
      await lanes.put([ack('t/1', 'returned')]);
      await lanes.put([ack('t/1', 'too')]);
      await work({
        isAway: async () => true,
        handle: async () => {
          tried.resolve();
          throw new RetryableError('the store is away');
        },
      });
      await tried.promise;
      await lanes.put([ack('t/1', 'later')]);
      await stop();
      const seen: string[] = [];
      await work({ handle: async (jobs) => void seen.push(...idsOf(jobs)) });
      await waitFor('all', () => seen.length === 3);
      expect(seen).toEqual(['returned', 'too', 'later']);
    });
  });
}

const directory = temporaryDirectory();
let engine: PgliteEngine;
beforeAll(async () => {
  engine = await PgliteEngine.open(directory.path, fail);
});
afterAll(async () => {
  await engine.close();
  directory.remove();
});
const embedded = (onError: (error: Error) => void) => new PostgresQueue({ connection: engine.connectionConfig(), exclusive: true, onError });
suite({ name: 'the embedded database', open: async (onError) => embedded(onError), reopen: embedded });

withBackends(['redis'], ({ redis }) => {
  const url = `${redis}/15`;
  const make = (onError: (error: Error) => void) => new RedisQueue({ url: redisUrl(url), onError });
  suite({ name: 'Redis', open: async (onError) => (await emptyRedis(url), make(onError)), reopen: make });
});

withBackends(['postgres'], ({ postgres }) => {
  let url = '';
  const make = (onError: (error: Error) => void) => new PostgresQueue({ connection: { connectionString: url }, exclusive: false, onError });
  suite({
    name: 'PostgreSQL',
    open: async (onError) => {
      url = await emptyDatabase(postgres, 'offline_lanes');
      return make(onError);
    },
    reopen: make,
  });
});
