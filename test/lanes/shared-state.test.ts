import { setTimeout as sleep } from 'node:timers/promises';
import { parseServiceUrl } from '../../src/config/url';
import type { QueueBackend } from '../../src/lanes/backend';
import { PostgresQueue } from '../../src/lanes/postgres';
import { RedisQueue } from '../../src/lanes/redis';
import type { Claim, Leased } from '../../src/lanes/state';
import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { embeddedQueue } from '../support/embedded-queue';
import { prepared } from '../support/prepared';

function fail(error: Error): never {
  throw error;
}

/** Each process sees what any has set. */
function manyValues(open: () => QueueBackend): void {
  it('are stored and read many at a time until they expire', async () => {
    const [one, other] = [open(), open()];
    await prepared(one);
    await prepared(other);
    const name = `many-${process.pid}-${Date.now()}`;
    const [a, b, special, short] = ['a', 'b', 'ü:{}*', 'short'].map((key) => `${name}/${key}`) as [string, string, string, string];
    await one.state.setAll(
      [
        { key: a, value: 'first' },
        { key: a, value: 'last' },
        { key: special, value: '' },
      ],
      60_000,
    );
    await one.state.setAll([{ key: short, value: 'x' }], 50);
    expect(await other.state.getAll([a, b, special])).toEqual(
      new Map([
        [a, 'last'],
        [special, ''],
      ]),
    );
    expect(await other.state.get(a)).toBe('last');
    await sleep(60);
    expect(await other.state.getAll([short])).toEqual(new Map());
    expect(await other.state.getAll([])).toEqual(new Map());
    await other.state.setAll(
      [
        { key: short, value: 'y' },
        { key: a, value: 'other' },
      ],
      60_000,
    );
    expect(await one.state.getAll([short, a])).toEqual(
      new Map([
        [short, 'y'],
        [a, 'other'],
      ]),
    );
    await one.state.setAll([], 60_000);
    await one.close();
    await other.close();
  });
}

/** Leases say which client is being sent a message (promise 9). */
function leases(open: () => QueueBackend): void {
  const LONG = 60_000;
  let [one, other]: QueueBackend[] = [];
  let name = '';
  const claims = (owner: string, ...ids: readonly string[]): Claim[] => ids.map((id) => ({ name: `${name}/${id}`, owner }));
  const take = (from: QueueBackend | undefined, ttlMs: number, ...all: readonly Claim[]): Promise<readonly Leased[]> =>
    (from as QueueBackend).state.lease(all, ttlMs);
  const release = (owner: string, ...ids: readonly string[]): Promise<void> =>
    (other as QueueBackend).state.release(
      ids.map((id) => `${name}/${id}`),
      owner,
    );
  beforeEach(async () => {
    name = `lease-${process.pid}-${Date.now()}`;
    [one, other] = [open(), open()];
    await prepared(one);
    await prepared(other);
  });
  afterEach(async () => {
    await one?.close();
    await other?.close();
  });

  it('give a name to one owner at a time', async () => {
    expect(await take(one, LONG, ...claims('c', 'A', 'B'))).toEqual(['granted', 'granted']);
    expect(await take(other, LONG, ...claims('d', 'B', 'C', 'A'))).toEqual(['held', 'granted', 'held']);
    expect(await take(other, LONG, ...claims('c', 'A', 'C'))).toEqual(['own', 'held']);
    expect(await take(one, LONG)).toEqual([]);
  });

  it('answer several owners in one request, each separately', async () => {
    await take(one, LONG, ...claims('c', 'A'));
    expect(await take(other, LONG, ...claims('c', 'A', 'B'), ...claims('d', 'A', 'B', 'C'))).toEqual([
      'own',
      'granted',
      'held',
      'held',
      'granted',
    ]);
    // The first of two claims on one name counts.
    expect(await take(one, LONG, ...claims('e', 'D', 'D'), ...claims('f', 'D', 'C'))).toEqual(['granted', 'own', 'held', 'held']);
  });

  it('are free again after they expire or their own owner releases them', async () => {
    await take(one, 50, ...claims('c', 'A'));
    await take(one, LONG, ...claims('c', 'B', 'C'));
    await sleep(80);
    expect(await take(other, LONG, ...claims('d', 'A', 'B'))).toEqual(['granted', 'held']);
    await release('d', 'A', 'B');
    expect(await take(one, LONG, ...claims('e', 'A', 'B'))).toEqual(['granted', 'held']);
    await release('c', 'B');
    await release('c');
    expect(await take(one, LONG, ...claims('e', 'B', 'C'))).toEqual(['granted', 'held']);
  });

  // Promise 9. The guard is the one statement, or script, that asks and takes.
  it('give a name that several owners request at once to exactly one', async () => {
    const ids = Array.from({ length: 100 }, (_, i) => `m${i}`);
    const all = await Promise.all(
      [0, 1, 2, 3].map((i) => take(i % 2 === 0 ? one : other, LONG, ...claims(`c${i}`, ...(i % 2 === 0 ? ids : [...ids].reverse())))),
    );
    const inOrder = all.map((each, i) => (i % 2 === 0 ? each : [...each].reverse()));
    expect(ids.map((_, i) => inOrder.filter((each) => each[i] === 'granted').length)).toEqual(ids.map(() => 1));
    expect(new Set(inOrder.flat())).toEqual(new Set(['granted', 'held']));
  });
}

describe('on the embedded queue', () => {
  const open = embeddedQueue();
  describe('values', () => manyValues(open));
  describe('leases', () => leases(open));
});

describe('on PostgreSQL', () => {
  withBackends(['postgres'], ({ postgres }) => {
    let connectionString = '';
    beforeAll(async () => {
      connectionString = await emptyDatabase(postgres, 'offline_shared_state');
    });
    const open = (): QueueBackend => new PostgresQueue({ connection: { connectionString }, onError: fail });
    describe('values', () => manyValues(open));
    describe('leases', () => leases(open));
  });
});

describe.each(['redis', 'redis-cluster'] as const)('on %s', (name) => {
  withBackends([name], (urls) => {
    const open = (): QueueBackend =>
      new RedisQueue({ url: parseServiceUrl(urls[name], [name === 'redis' ? 'redis' : 'redis+cluster']), onError: fail });
    describe('values', () => manyValues(open));
    describe('leases', () => leases(open));
  });
});
