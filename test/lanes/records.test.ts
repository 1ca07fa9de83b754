import { setTimeout as sleep } from 'node:timers/promises';
import { PostgresQueue } from '../../src/lanes/postgres';
import { RedisQueue } from '../../src/lanes/redis';
import type { QueueBackend } from '../../src/lanes/backend';
import type { SavedRecord, SharedState } from '../../src/lanes/state';
import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { embeddedQueue } from '../support/embedded-queue';
import { prepared } from '../support/prepared';
import { redisUrl } from '../support/redis';

const LONG = 600_000;
let sequence = 0;

function fail(error: Error): never {
  throw error;
}

/** Records of the shared state, which are changed by compare-and-set only (promise 21): two processes on one queue. */
function records(open: () => QueueBackend, isShared: boolean): void {
  const backends: QueueBackend[] = [];
  let name = '';
  const record = (key: string, before: number, value: string, ttlMs = LONG): SavedRecord => ({
    key: `${name}/${key}`,
    before,
    version: before + 1,
    value,
    ttlMs,
  });
  const state = (i: number): SharedState => (backends[i % backends.length] as QueueBackend).state;
  const save = async (...all: readonly SavedRecord[]): Promise<string[]> =>
    [...(await state(0).save(all))].map((key) => key.slice(name.length + 1)).sort();
  const load = async (...keys: readonly string[]): Promise<Record<string, unknown>> => {
    const found = await state(1).load(keys.map((key) => `${name}/${key}`));
    return Object.fromEntries([...found].map(([key, { value, version }]) => [key.slice(name.length + 1), [value, version]]));
  };

  beforeAll(async () => {
    for (let i = 0; i < (isShared ? 2 : 1); i++) {
      const backend = open();
      backends.push(backend);
      await prepared(backend);
    }
  });
  afterAll(async () => {
    for (const backend of backends) await backend.close();
  });
  beforeEach(() => {
    name = `record-${process.pid}-${Date.now()}-${sequence++}`;
  });

  it('are saved once per version', async () => {
    expect(await load('a')).toEqual({});
    expect(await save(record('a', 0, 'first'))).toEqual([]);
    expect(await load('a', 'b')).toEqual({ a: ['first', 1] });
    expect(await save(record('a', 1, 'second'))).toEqual([]);
    expect(await load('a')).toEqual({ a: ['second', 2] });
    // The same save once more, as after an answer that was lost, is refused: who saves loads again.
    expect(await save(record('a', 1, 'second'))).toEqual(['a']);
  });

  it('are rejected with any version other than the stored one, and stay unchanged', async () => {
    await save(record('a', 0, 'one'));
    await save(record('a', 1, 'two'));
    for (const before of [0, 1, 3, 100]) expect([before, await save(record('a', before, 'wrong'))]).toEqual([before, ['a']]);
    expect(await save(record('absent', 1, 'wrong'), record('absent, too', 7, 'wrong'))).toEqual(['absent', 'absent, too']);
    expect(await load('a', 'absent', 'absent, too')).toEqual({ a: ['two', 2] });
  });

  it('may skip versions', async () => {
    expect(await save({ ...record('a', 0, 'x'), version: 4_000_000_000_000 })).toEqual([]);
    expect(await save(record('a', 4_000_000_000_000, 'y'))).toEqual([]);
    expect(await load('a')).toEqual({ a: ['y', 4_000_000_000_001] });
  });

  // Promise 20: one mailbox that somebody else has saved keeps no other one from being saved.
  it('of a batch are saved or rejected separately', async () => {
    await save(record('a', 0, 'a1'), record('b', 0, 'b1'), record('c', 0, 'c1'));
    await save(record('b', 1, 'b2'));
    expect(
      await save(record('a', 1, 'a2'), record('b', 1, 'b lost'), record('c', 0, 'c lost'), record('d', 0, 'd1'), record('e', 1, 'e lost')),
    ).toEqual(['b', 'c', 'e']);
    expect(await load('a', 'b', 'c', 'd', 'e')).toEqual({ a: ['a2', 2], b: ['b2', 2], c: ['c1', 1], d: ['d1', 1] });
    expect(await save()).toEqual([]);
    expect(await load()).toEqual({});
  });

  it('that have expired start again at version 0, and an old version is rejected', async () => {
    await save(record('a', 0, 'short', 50), record('b', 0, 'short', 50));
    await sleep(80);
    expect(await load('a', 'b')).toEqual({});
    // A process that stood still for longer than the record was kept.
    expect(await save(record('b', 1, 'late'))).toEqual(['b']);
    expect(await save(record('a', 0, 'new'))).toEqual([]);
    expect(await load('a', 'b')).toEqual({ a: ['new', 1] });
    await state(0).purge(1_000);
    expect(await load('a', 'b')).toEqual({ a: ['new', 1] });
  });

  it('expire after the time to live of the last save', async () => {
    // On a slow machine a record may expire before its second save, which is then rejected: the next one lives longer.
    let ttlMs = 100;
    for (; ttlMs < 10_000; ttlMs *= 2) {
      await save(record(`a${ttlMs}`, 0, 'short', ttlMs));
      if ((await save(record(`a${ttlMs}`, 1, 'long', LONG))).length === 0) break;
    }
    await save(record('b', 0, 'long', LONG));
    await save(record('b', 1, 'short', 50));
    await sleep(ttlMs + 50);
    expect(await load(`a${ttlMs}`, 'b')).toEqual({ [`a${ttlMs}`]: ['long', 2] });
  });

  // The guard is the version in the statement or script that saves.
  it('that several processes save at once are saved by exactly one of them', async () => {
    const keys = Array.from({ length: 20 }, (_, i) => `k${i}`);
    for (let before = 0; before < 10; before++) {
      const byProcess = await Promise.all(
        ['one', 'other', 'third', 'fourth'].map(async (who, i) => {
          // In another order each, so that they meet.
          const own = i % 2 === 0 ? keys : [...keys].reverse();
          const refused = await state(i).save(own.map((key) => record(key, before, who)));
          return { who, refused: new Set([...refused].map((key) => key.slice(name.length + 1))) };
        }),
      );
      const found = await load(...keys);
      for (const key of keys) {
        const winners = byProcess.filter(({ refused }) => !refused.has(key)).map(({ who }) => who);
        expect([key, winners.length, found[key]]).toEqual([key, 1, [winners[0], before + 1]]);
      }
    }
  });

  it('that are new are created by exactly one process, even over an expired one', async () => {
    await save(record('a', 0, 'short', 20));
    await sleep(50);
    const refused = await Promise.all(Array.from({ length: 8 }, (_, i) => state(i).save([record('a', 0, `p${i}`)])));
    expect(refused.filter(({ size }) => size === 0)).toHaveLength(1);
  });

  it('hold any text under keys of any characters', async () => {
    const value = JSON.stringify({ 'ü:{}*': 'a\\u0000\n:7:😀', long: 'x'.repeat(200_000) });
    await save(record('ü:{}*/😀', 0, value), record('empty', 0, ''), record('digits', 0, '7:8'));
    expect(await load('ü:{}*/😀', 'empty', 'digits')).toEqual({ 'ü:{}*/😀': [value, 1], empty: ['', 1], digits: ['7:8', 1] });
  });

  it('are separate from values of the same key', async () => {
    await state(0).set(`${name}/a`, 'value', LONG);
    expect(await load('a')).toEqual({});
    expect(await save(record('a', 0, 'record'))).toEqual([]);
    expect(await state(0).get(`${name}/a`)).toBe('value');
  });
}

describe('on the embedded queue', () => {
  const open = embeddedQueue();
  // Its hooks end before those of the database.
  describe('records', () => records(open, false));
});

describe('on PostgreSQL', () => {
  withBackends(['postgres'], ({ postgres }) => {
    let connectionString = '';
    beforeAll(async () => {
      connectionString = await emptyDatabase(postgres, 'offline_records');
    });
    describe('records', () => records(() => new PostgresQueue({ connection: { connectionString }, onError: fail }), true));
  });
});

describe.each(['redis', 'redis-cluster'] as const)('records on %s', (name) => {
  withBackends([name], (urls) => records(() => new RedisQueue({ url: redisUrl(urls[name]), onError: fail }), true));
});
