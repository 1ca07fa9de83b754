import { setTimeout as sleep } from 'node:timers/promises';
import { Queue, type JobsOptions } from 'bullmq';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { createLmdbBackend } from '../../src/bullmq-lmdb';
import { Environment } from '../../src/embedded/environment';
import { RedisSequence } from '../../src/lanes/redis-sequence';
import { withBackends } from '../support/backends';
import { removeKeys } from '../support/redis';
import { temporaryDirectory } from '../support/temp';
import { outcome, shown, SHORT_LOCK_MS, Side, TAKING } from './sides';

/** Of this process alone: nobody empties the database that it shares with other tests. */
const PREFIX = `lmdb-equality-${process.pid}`;
const QUEUES = 2;
const IDS = ['a', 'b', 'letter-7'];

type Operation = { readonly name: string; readonly run: (side: Side) => Promise<unknown>; readonly pauseMs?: number };

const options: fc.Arbitrary<JobsOptions> = fc.record(
  {
    delay: fc.constantFrom(0, 3, 15, 40),
    jobId: fc.constantFrom(...IDS),
    lifo: fc.boolean(),
    attempts: fc.integer({ min: 1, max: 4 }),
    backoff: fc.constantFrom(0, 7),
    removeOnComplete: fc.constantFrom<NonNullable<JobsOptions['removeOnComplete']>>(true, false, 2, { count: 0 }, { age: 1, count: 3 }),
    removeOnFail: fc.constantFrom<NonNullable<JobsOptions['removeOnFail']>>(true, 1),
  },
  { requiredKeys: [] },
);
const job = fc.record({ name: fc.constantFrom('one', 'ü'), data: fc.jsonValue({ maxDepth: 1 }), opts: options });
const queue = fc.nat({ max: QUEUES - 1 });
const index = fc.nat({ max: 4 });
const id = fc.oneof(fc.constantFrom(...IDS), fc.integer({ min: 1, max: 12 }).map(String));
/** Mostly. */
const right = fc.integer({ min: 0, max: 4 }).map((number) => number > 0);

function operation<T extends unknown[]>(
  name: string,
  arbitraries: { [K in keyof T]: fc.Arbitrary<T[K]> },
  run: (side: Side, ...values: NoInfer<T>) => Promise<unknown>,
  pauseMs?: (...values: NoInfer<T>) => number,
): fc.Arbitrary<Operation> {
  return fc.tuple(...arbitraries).map((values) => ({
    name: `${name} ${JSON.stringify(values)}`,
    run: (side) => run(side, ...(values as T)),
    ...(pauseMs && { pauseMs: pauseMs(...(values as T)) }),
  }));
}

const add = operation('add', [queue, job], async (side, q, { name, data, opts }) => (await side.queue(q).add(name, data, opts)).id);
const addBulk = operation('addBulk', [queue, fc.array(job, { maxLength: 5 })], async (side, q, jobs) =>
  (await side.queue(q).addBulk(jobs)).map((added) => added.id),
);
const take = operation(
  'take',
  [queue, fc.constantFrom(false, false, true)],
  (side, q, isShort) => side.take(q, isShort),
  (_q, isShort) => (isShort ? 2 * SHORT_LOCK_MS : 0),
);
const complete = operation('complete', [index, right, fc.boolean()], (side, i, isRight, next) =>
  side.withTaken(i, isRight, (taken, token) => taken.moveToCompleted({ i }, token, next), true),
);
const fail = operation('fail', [index, right, fc.boolean()], (side, i, isRight, next) => {
  const error = Object.assign(new Error('no'), { stack: 'Error: no\n at a place' });
  return side.withTaken(i, isRight, (taken, token) => taken.moveToFailed(error, token, next), true);
});
const giveBack = operation('giveBack', [index, right], (side, i, isRight) =>
  side.withTaken(i, isRight, (taken, token) => taken.moveToWait(token), true),
);
const putOff = operation('putOff', [index, right, fc.constantFrom(0, 5)], (side, i, isRight, ms) =>
  side.withTaken(i, isRight, (taken, token) => taken.moveToDelayed(Date.now() + ms, token), true),
);
const extend = operation('extend', [index, right], (side, i, isRight) =>
  side.withTaken(i, isRight, (taken, token) => taken.extendLock(token, TAKING.lockDuration)),
);
const extendAll = operation('extendAll', [fc.constant('')], (side, _) => side.extendAll());
// Its interval is over before the next one.
const sweep = operation(
  'sweep',
  [queue],
  (side, q) => side.sweep(q),
  () => 3,
);
const remove = operation('remove', [queue, id], (side, q, jobId) => side.queue(q).remove(jobId));
const get = operation('get', [queue, id], async (side, q, jobId) => {
  const found = await side.queue(q).getJob(jobId);
  return found && shown(found);
});
const update = operation('update', [queue, id], async (side, q, jobId) => {
  const found = await side.queue(q).getJob(jobId);
  await found?.updateData({ changed: 'ä' });
  await found?.updateProgress({ at: 3 });
  await side.queue(q).updateJobProgress(jobId, 5);
});
const promote = operation('promote', [queue, id], async (side, q, jobId) => (await side.queue(q).getJob(jobId))?.promote());
const changeDelay = operation('changeDelay', [queue, id, fc.constantFrom(0, 4)], async (side, q, jobId, ms) =>
  (await side.queue(q).getJob(jobId))?.changeDelay(ms),
);
const pause = operation('pause', [queue, fc.boolean()], (side, q, isPause) => (isPause ? side.queue(q).pause() : side.queue(q).resume()));
const limit = operation('limit', [queue, fc.constantFrom(0, 1, 2)], (side, q, most) =>
  most === 0 ? side.queue(q).removeGlobalConcurrency() : side.queue(q).setGlobalConcurrency(most),
);
const wait = operation(
  'wait',
  [fc.constantFrom(4, 20)],
  async () => undefined,
  (ms) => ms,
);
const drain = operation('drain', [queue, fc.boolean()], (side, q, delayed) => side.queue(q).drain(delayed));
const obliterate = operation('obliterate', [queue, fc.boolean(), fc.constantFrom(3, 1_000)], (side, q, force, count) =>
  side.queue(q).obliterate({ force, count }),
);

const operations = fc.array(
  fc.oneof(
    ...[add, addBulk, take, take, complete].map((arbitrary) => ({ arbitrary, weight: 8 })),
    ...[fail, giveBack, putOff, extend, sweep, sweep, remove, get, wait].map((arbitrary) => ({ arbitrary, weight: 3 })),
    ...[extendAll, update, promote, changeDelay, pause, limit].map((arbitrary) => ({ arbitrary, weight: 2 })),
    ...[drain, obliterate].map((arbitrary) => ({ arbitrary, weight: 1 })),
  ),
  { maxLength: 60, size: 'max' },
);

describe('BullMQ on LMDB behaves as on Redis', () => {
  withBackends(['redis'], ({ redis }) => {
    const directory = temporaryDirectory();
    let environment: Environment;
    let connection: Redis;
    let now = Date.now();
    let run = 0;

    beforeAll(async () => {
      await removeKeys(redis, PREFIX);
      connection = new Redis(redis, { maxRetriesPerRequest: null });
      environment = await Environment.open(directory.path);
      jest.spyOn(Date, 'now').mockImplementation(() => now);
    });
    afterAll(async () => {
      jest.restoreAllMocks();
      await environment.close();
      connection.disconnect();
      await removeKeys(redis, PREFIX);
      directory.remove();
    });

    it('after any sequence of operations', async () => {
      const factory = createLmdbBackend(environment);
      const sequence = new RedisSequence(connection, PREFIX);
      await fc.assert(
        fc.asyncProperty(operations, async (steps) => {
          const names = Array.from({ length: QUEUES }, (_, i) => `q${run}-${i}`);
          run++;
          const theirs = new Side(
            names.map((name) => new Queue(name, { connection, prefix: PREFIX, ...TAKING })),
            async (name) => (await sequence.progress([name])).get(name),
          );
          const ours = new Side(
            names.map((name) => new Queue(name, { connection: {}, ...TAKING }, factory) as unknown as Queue),
            factory.progress,
          );
          await Promise.all([...theirs.queues, ...ours.queues].map((each) => each.waitUntilReady()));
          try {
            for (const { name, run: act, pauseMs = 0 } of steps) {
              now += 1;
              const expected = await outcome(() => act(theirs));
              const got = await outcome(() => act(ours));
              expect({ name, got: plain(got) }).toEqual({ name, got: plain(expected) });
              if (pauseMs > 0) await sleep(pauseMs);
              now += pauseMs;
              for (let i = 0; i < QUEUES; i++)
                expect({ name, i, got: plain(await ours.look(i, now)) }).toEqual({ name, i, got: plain(await theirs.look(i, now)) });
            }
          } finally {
            await Promise.all([...theirs.queues, ...ours.queues].map((each) => each.close()));
          }
        }),
        { numRuns: Number(process.env['EQUALITY_RUNS'] ?? 40) },
      );
    }, 600_000);
  });
});

/** The queues' full names are in some texts. */
function plain(value: unknown): unknown {
  return JSON.parse((JSON.stringify(value) ?? 'null').replaceAll(`${PREFIX}:`, ''));
}
