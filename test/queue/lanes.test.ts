import type { Worker } from 'bullmq';
import { PgliteEngine } from '../../src/embedded/engine';
import { Budget } from '../../src/queue/batcher';
import type { QueueBackend } from '../../src/queue/backend';
import type { ClientJob, Item, MessageJob } from '../../src/queue/jobs';
import { Lanes } from '../../src/queue/lanes';
import { laneOf, messageLane } from '../../src/queue/names';
import { PostgresQueue } from '../../src/queue/postgres';
import { Workers, type Handlers } from '../../src/queue/workers';
import { RetryableError } from '../../src/errors';
import { temporaryDirectory } from '../support/temp';
import { waitFor } from '../support/wait';

const fail = (error: unknown): never => {
  throw error;
};
const ack = (topic: string, id: string): Item => ({ write: { kind: 'ack', id, topic, clientid: 'c', ours: false } });
const request = (filter: string): Item => ({ deliver: { clientid: 'c', filter, qos: 1, at: 0 } });

function deferred<T = void>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((done) => (resolve = done));
  return { promise, resolve };
}

describe('the queue on the embedded database', () => {
  const directory = temporaryDirectory();
  let engine: PgliteEngine;
  let backend: QueueBackend;
  let lanes: Lanes;
  let workers: Workers | null = null;
  let errors: string[] = [];

  const open = () => new PostgresQueue({ connection: engine.connectionConfig(), exclusive: true, onError: (error) => errors.push(error.message) });
  const work = (handlers: Partial<Handlers>) => {
    const none = async () => undefined;
    workers = new Workers(backend, { messages: none, clients: none, histories: new Map(), setAside: none, onRetry: () => undefined, ...handlers });
    workers.start(fail);
  };

  beforeAll(async () => {
    engine = await PgliteEngine.open(directory.path, fail);
  });
  beforeEach(async () => {
    errors = [];
    backend = open();
    await backend.prepare();
    lanes = new Lanes(backend, new Budget({ items: 1e9, bytes: 1e9 }));
    await lanes.prepare();
  });
  afterEach(async () => {
    expect(errors).toEqual([]);
    await workers?.close();
    workers = null;
    await lanes.close();
    await backend.close();
  });
  afterAll(async () => {
    await engine.close();
    directory.remove();
  });

  it('keeps the order of a topic and puts what comes together into few jobs', async () => {
    const seen: string[] = [];
    let jobs = 0;
    const all = deferred();
    work({
      messages: async (job: MessageJob) => {
        if (job.name !== 'events') return;
        jobs++;
        seen.push(...job.data.events.map((event) => (event.kind === 'ack' ? event.id : '')));
        if (seen.length === 1000) all.resolve();
      },
    });
    const ids = Array.from({ length: 1000 }, (_, i) => `m${i}`);
    await Promise.all(ids.map((id) => lanes.put(ack('t/1', id), 100)));
    await all.promise;
    expect(seen).toEqual(ids);
    expect(jobs).toBeLessThan(20);
  });

  // Promise 4. The guard is the fence job in each message lane: without `children` the delivery runs at once.
  it.each(['t/1', 't/+', '$share/g/t/1', '$share/g/#'])('holds a delivery for %s back until the writes before it are done', async (filter) => {
    // A topic of another lane.
    const { messages } = backend.laneCounts;
    const elsewhere = ['u', 'v', 'w', 'x', 'y'].find((topic) => laneOf(topic, messages) !== laneOf('t/1', messages)) ?? '';
    const order: string[] = [];
    const release = deferred();
    const control = deferred();
    const delivered = deferred();
    work({
      messages: async (job: MessageJob) => {
        if (job.name !== 'events') return;
        await release.promise;
        order.push('write');
      },
      clients: async (job: ClientJob) => {
        const filters = job.name === 'subscribed' ? job.data.requests.map((each) => each.filter) : [];
        order.push(...filters);
        if (filters.includes(elsewhere)) control.resolve();
        if (filters.includes(filter)) delivered.resolve();
      },
    });
    await lanes.put(ack('t/1', 'm'), 100);
    await lanes.put(request(filter), 100);
    // One behind it that needs not wait shows that the lane is working.
    await lanes.put(request(elsewhere), 100);
    await control.promise;
    const early = [...order];
    release.resolve();
    expect(early).toEqual([elsewhere]);
    await delivered.promise;
    expect(order).toEqual([elsewhere, 'write', filter]);
  });

  // The guard is Backlog: as jobs of one event each they would go on being as many as there are events.
  it('makes larger jobs when a lane is behind', async () => {
    const jobs = async () => (await lanes.counts()).find(({ name }) => name === messageLane(laneOf('t/1', backend.laneCounts.messages)))?.waiting ?? 0;
    const send = async (count: number) => {
      for (let i = 0; i < count; i++) {
        void lanes.put(ack('t/1', `m${i}`), 100);
        await new Promise((resolve) => setTimeout(resolve, 15));
      }
      await lanes.put(ack('t/1', 'last'), 100);
    };
    await send(60);
    const before = await jobs();
    expect(before).toBeGreaterThan(32);
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    // Looks.
    await lanes.put(ack('t/1', 'one'), 100);
    await waitFor('the look to be done', async () => {
      const start = performance.now();
      await lanes.put(ack('t/1', 'two'), 100);
      return performance.now() - start > 90;
    });
    const from = await jobs();
    await send(60);
    expect((await jobs()) - from).toBeLessThan(30);
    work({});
    await waitFor('the lanes to be empty', async () => (await lanes.counts()).every((lane) => lane.waiting + lane.active === 0));
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    await waitFor('no more gathering', async () => {
      const start = performance.now();
      await lanes.put(ack('t/1', 'three'), 100);
      return performance.now() - start < 90;
    });
  }, 30_000);

  it('tells what waits, more than one page of it', async () => {
    for (let i = 0; i < 20; i++) await lanes.put(ack('t/1', `m${i}`), 100);
    await lanes.put(request('#'), 100);
    const waiting: string[] = [];
    for await (const event of lanes.waitingEvents()) waiting.push(event.kind === 'ack' ? event.id : '');
    expect(waiting.sort()).toEqual(Array.from({ length: 20 }, (_, i) => `m${i}`).sort());
    work({});
    await waitFor('the lanes to be empty', async () => (await lanes.counts()).every((lane) => lane.waiting + lane.active === 0));
  });

  it('tries the same job again after a transient error, before any later one of its lane', async () => {
    const seen: string[] = [];
    const all = deferred();
    let failures = 2;
    work({
      messages: async (job: MessageJob) => {
        if (job.name !== 'events') return;
        if (failures-- > 0) throw new RetryableError('the store is away');
        seen.push(...job.data.events.map((event) => (event.kind === 'ack' ? event.id : '')));
        if (seen.length === 2) all.resolve();
      },
    });
    await lanes.put(ack('t/1', 'first'), 100);
    await lanes.put(ack('t/1', 'second'), 100);
    await all.promise;
    expect(seen).toEqual(['first', 'second']);
  });

  // What was acknowledged since it passed its fences may be in its lane still. The guard is `again` in Workers.
  it('tells a delivery that it is tried again', async () => {
    const told: boolean[] = [];
    const done = deferred();
    work({
      clients: async (job: ClientJob, takenOver) => {
        if (job.name !== 'subscribed') return;
        told.push(takenOver);
        if (!takenOver) throw new RetryableError('EMQX is away');
        done.resolve();
      },
    });
    await lanes.put(request('t/1'), 100);
    await done.promise;
    expect(told).toEqual([false, true]);
  });

  it('sets a job aside that fails for good, however often that takes, and goes on', async () => {
    const next = deferred();
    const aside: unknown[] = [];
    let refusals = 2;
    work({
      messages: async (job: MessageJob) => {
        if (job.name !== 'events') return;
        if (job.data.events.some((event) => event.kind === 'ack' && event.id === 'poison')) throw new TypeError('a bug');
        next.resolve();
      },
      setAside: async (job) => {
        if (refusals-- > 0) throw new TypeError('another bug');
        aside.push(job.data);
      },
    });
    await lanes.put(ack('t/1', 'poison'), 100);
    await lanes.put(ack('t/1', 'good'), 100);
    await next.promise;
    expect(aside).toEqual([{ events: [expect.objectContaining({ id: 'poison' })] }]);
  });

  // Promises 1, 4 and 6. The guard is the trigger keep_place (migrations/queue): without it the job of the dead worker comes last.
  it('takes over the job of a worker that died, in its place', async () => {
    const lane = messageLane(laneOf('t/1', backend.laneCounts.messages));
    const taken = deferred();
    const dying = backend.worker(lane, async () => {
      taken.resolve();
      await new Promise(() => undefined);
    }) as Worker;
    void dying.run();
    await lanes.put(ack('t/1', 'in hand'), 100);
    await taken.promise;
    await lanes.put(ack('t/1', 'later'), 100);
    await dying.close(true);

    // The next start of the server.
    await backend.prepare();
    const seen: string[] = [];
    const all = deferred();
    work({
      messages: async (job: MessageJob) => {
        if (job.name !== 'events') return;
        seen.push(...job.data.events.map((event) => (event.kind === 'ack' ? event.id : '')));
        if (seen.length === 2) all.resolve();
      },
    });
    await all.promise;
    expect(seen).toEqual(['in hand', 'later']);
  });

  it('gives a job back to its place when it stops in the middle of retries', async () => {
    const tried = deferred();
    work({
      messages: async (job: MessageJob) => {
        if (job.name !== 'events') return;
        tried.resolve();
        throw new RetryableError('the store is away');
      },
    });
    await lanes.put(ack('t/1', 'returned'), 100);
    await tried.promise;
    await lanes.put(ack('t/1', 'later'), 100);
    await workers?.close();
    const seen: string[] = [];
    const all = deferred();
    work({
      messages: async (job: MessageJob) => {
        if (job.name !== 'events') return;
        seen.push(...job.data.events.map((event) => (event.kind === 'ack' ? event.id : '')));
        if (seen.length === 2) all.resolve();
      },
    });
    await all.promise;
    expect(seen).toEqual(['returned', 'later']);
  });
});
