import type { JobQueue, QueueBackend } from '../../src/lanes/backend';
import { Consumer } from '../../src/lanes/consumer';
import type { LaneJob } from '../../src/lanes/jobs';
import { PostgresQueue } from '../../src/lanes/postgres';
import { RedisQueue } from '../../src/lanes/redis';
import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { FaultyProxy } from '../support/faulty-proxy';
import { die, expectRecovery } from '../support/half-open';
import { prepared } from '../support/prepared';
import { redisUrl, removeKeys } from '../support/redis';
import { inTime, waitFor } from '../support/wait';

/** Long enough for an answer of a busy machine. */
const TIMEOUT_MS = 1_000;
/**
 * Two timeouts, one of the producer and one of the worker, and time for a busy machine. A consumer with Redis's usual
 * limit of 15 s takes longer.
 */
const AT_ONCE_MS = 10_000;
const QUEUE = `half-open-${process.pid}`;

const POSTGRES = {
  name: 'PostgreSQL',
  prepare: (server: string) => emptyDatabase(server, 'offline_half_open_queue'),
  open: (url: string): QueueBackend =>
    new PostgresQueue({ connection: { connectionString: url, query_timeout: TIMEOUT_MS }, onError: () => undefined }),
};
const REDIS = {
  name: 'Redis',
  prepare: async (server: string) => (await removeKeys(server, `{offline}:${QUEUE}`), server),
  open: (url: string): QueueBackend =>
    new RedisQueue({ url: redisUrl(url), onError: () => undefined, silenceMs: { producers: TIMEOUT_MS, consumers: TIMEOUT_MS } }),
};

/** Promise 14: what is open is dead and nobody is told, new connections work. */
function suite({ name, prepare, open }: typeof POSTGRES, server: string): void {
  describe(`a queue on ${name} with half-open connections`, () => {
    const closers: (() => unknown)[] = [];
    let proxy: FaultyProxy;
    let backend: QueueBackend;
    let queue: JobQueue;
    beforeEach(async () => {
      const target = new URL(await prepare(server));
      proxy = await FaultyProxy.to(target.hostname, Number(target.port));
      closers.push(() => proxy.close());
      backend = open(Object.assign(target, { port: String(proxy.address.port) }).href);
      closers.push(() => backend.close());
      await prepared(backend);
      queue = backend.queue(QUEUE);
      closers.push(() => queue.close());
    });
    afterEach(async () => {
      for (const close of closers.splice(0).reverse()) await close();
      await prepare(server);
    });

    /** As EMQX does: until it works. */
    const again = (ask: () => Promise<unknown>) =>
      waitFor('an answer', () =>
        ask().then(
          () => true,
          () => null,
        ),
      );
    const add = (job: string) => again(() => queue.add(job, {}));
    const isDone = async (job: string, done: ReadonlySet<string>) => {
      await add(job);
      await waitFor('the next job', () => done.has(job));
    };
    /** @returns the names of jobs, when a worker begins and when it is done with each. */
    const work = (process: (job: string) => Promise<void> = async () => undefined) => {
      const [begun, done] = [new Set<string>(), new Set<string>()];
      const one = async ({ name: job }: { name: string }) => {
        begun.add(job);
        await process(job);
        done.add(job);
      };
      const nothing = async () => undefined;
      const handle = async (jobs: readonly LaneJob[]) => {
        await Promise.all(jobs.map(one));
        return [];
      };
      const lane = {
        knows: () => true,
        handle,
        split: (job: LaneJob) => [job],
        isAway: async () => true,
        postpone: nothing,
        setAside: nothing,
      };
      const options = { maxEvents: 1, maxBytes: 1e6, ownership: null, onDone: () => undefined, onRetry: () => undefined };
      const consumer = new Consumer(backend.source(QUEUE), lane, options);
      closers.push(() => consumer.close());
      void consumer.open().then(() => consumer.start(() => undefined));
      return { begun, done };
    };

    // The guards: socketTimeout of the producers; Connections.pooled.
    it('takes jobs and keeps its state again after one timeout', async () => {
      await expectRecovery(proxy, () => add('job'), TIMEOUT_MS);
      await expectRecovery(proxy, () => again(() => backend.state.get('absent')), TIMEOUT_MS);
    });

    // Redis cannot do this: it gives the next job to the dead connection, and the other workers look only after 5 s.
    if (name === 'PostgreSQL') {
      it('is processed at once when the workers were waiting', async () => {
        const { done } = work();
        await add('before');
        await waitFor('the first job', () => done.has('before'));
        die(proxy);
        await inTime('the next job', AT_ONCE_MS, isDone('after', done));
      });
    }

    // The guards: socketTimeout of the consumers; Connections.listening.
    it('is processed at once when a worker was processing a job', async () => {
      let finish: () => void = () => undefined;
      const { begun, done } = work((job) => (job === 'in hand' ? new Promise((resolve) => (finish = resolve)) : Promise.resolve()));
      await add('in hand');
      await waitFor('the first job', () => begun.has('in hand'));
      die(proxy);
      finish();
      await inTime('the next job', AT_ONCE_MS, isDone('after', done));
    });
  });
}

withBackends(['postgres'], ({ postgres }) => suite(POSTGRES, postgres));
withBackends(['redis'], ({ redis }) => suite(REDIS, redis));
