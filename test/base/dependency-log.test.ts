import { dependencyOf, isExpected, isNoBug, isRetryable, reporting, unhealthy } from '../../src/base/dependency';
import { checked, Dependency } from '../../src/base/dependency-log';
import { OverloadedError, RefusedError, RetryableError } from '../../src/base/errors';
import type { Health } from '../../src/base/health';
import { createLogger } from '../../src/base/log';

const REFUSED = 'STORE_URL: ECONNREFUSED 127.0.0.1:5432';
const WELL: Health = { ok: true, detail: 'PostgreSQL 17' };
const AWAY: Health = { ok: false, detail: REFUSED };

describe('a dependency in the log', () => {
  let health: Health;
  let checks: number;
  let records: Record<string, unknown>[];
  let store: Dependency;
  const shown = () => records.filter(({ level }) => level !== 'debug');
  const fail = (times = 1) => {
    for (let i = 0; i < times; i++) store.failed(new RetryableError('connect ECONNREFUSED'));
  };
  const pass = (ms: number) => jest.advanceTimersByTimeAsync(ms);

  beforeEach(() => {
    jest.useFakeTimers();
    [health, checks, records] = [WELL, 0, []];
    store = new Dependency({
      ...{ name: 'store', setting: 'STORE_URL', consequence: 'events are kept in the queue' },
      check: () => {
        checks++;
        return Promise.resolve(health);
      },
      log: createLogger({ level: 'debug', destination: { write: (line: string) => void records.push(JSON.parse(line)) } }),
    });
    store.worked();
  });
  afterEach(() => {
    store.close();
    jest.useRealTimers();
  });

  it('has one line at the start and one at the end of an outage', async () => {
    health = AWAY;
    fail(1_000);
    await pass(600);
    fail(1_000);
    await pass(9_400);
    expect(shown()).toHaveLength(1);
    expect(shown()[0]).toMatchObject({
      level: 'warn',
      msg: 'STORE_URL: connection lost: ECONNREFUSED 127.0.0.1:5432; events are kept in the queue',
      dependency: 'store',
      setting: 'STORE_URL',
      code: 'ECONNREFUSED',
    });
    expect(JSON.stringify(records)).not.toContain('"stack"');
    health = WELL;
    await pass(3_000);
    expect(shown()).toHaveLength(2);
    expect(shown()[1]).toMatchObject({
      level: 'info',
      msg: expect.stringMatching(/^STORE_URL: connected again after 1[0-2] s$/),
      failures: 2_000,
    });
    expect(shown()[1]?.['down_ms']).toBeGreaterThan(9_000);
    await pass(600_000);
    expect(shown()).toHaveLength(2);
  });

  it('has no line when a request fails and the next check succeeds', async () => {
    fail();
    expect(store.isTroubled).toBe(true);
    await pass(600);
    expect(store.isTroubled).toBe(false);
    fail(100);
    expect(store.isTroubled).toBe(false);
    await pass(60_000);
    expect(shown()).toEqual([]);
    expect(checks).toBeLessThanOrEqual(3);
  });

  it('is checked again while requests fail', async () => {
    fail();
    await pass(600);
    fail();
    health = AWAY;
    await pass(5_000);
    expect(shown().map(({ msg }) => msg)).toEqual([expect.stringContaining('connection lost')]);
  });

  it('is reported as failing, not as lost, when its disk is full', async () => {
    health = { ok: false, detail: 'STORE_URL: disk full', ...{ answers: true } };
    fail();
    await pass(3_000);
    health = WELL;
    await pass(4_000);
    expect(shown().map(({ msg }) => msg)).toEqual([
      'STORE_URL: requests fail: disk full; events are kept in the queue',
      expect.stringMatching(/^STORE_URL: requests succeed again after \d s$/),
    ]);
  });

  it('has a line every five minutes of a long outage', async () => {
    health = AWAY;
    fail();
    await pass(16 * 60_000);
    expect(shown().map(({ msg }) => msg)).toEqual([
      expect.stringContaining('connection lost'),
      'STORE_URL: still not available after 5 min: ECONNREFUSED 127.0.0.1:5432',
      'STORE_URL: still not available after 10 min: ECONNREFUSED 127.0.0.1:5432',
      'STORE_URL: still not available after 15 min: ECONNREFUSED 127.0.0.1:5432',
    ]);
  });

  it('has few lines when its connection fails again and again', async () => {
    for (let i = 0; i < 600; i++) {
      health = i % 3 === 0 ? AWAY : WELL;
      fail();
      await pass(1_000);
    }
    expect(shown().length).toBeLessThanOrEqual(8);
  });

  it('is "not available yet" before it first worked', async () => {
    const early = new Dependency({
      ...{ name: 'EMQX', setting: 'EMQX_URL', consequence: 'messages are stored' },
      check: () => Promise.resolve(health),
      log: createLogger({ destination: { write: (line: string) => void records.push(JSON.parse(line)) } }),
    });
    health = { ok: false, detail: 'EMQX_API_KEY / EMQX_API_SECRET: refused by EMQX (401)', ...{ answers: true } };
    await expect(early.look()).resolves.toEqual(health);
    health = WELL;
    await pass(3_000);
    expect(shown().map(({ msg }) => msg)).toEqual([
      'EMQX_URL: not available yet: EMQX_API_KEY / EMQX_API_SECRET: refused by EMQX (401); messages are stored',
      'EMQX_URL: connected after 2 s',
    ]);
  });

  it('has no line after it is closed or because of an overload', async () => {
    health = AWAY;
    store.failed(new OverloadedError('too many'));
    await pass(600);
    fail();
    store.close();
    fail();
    await pass(60_000);
    expect(shown()).toEqual([]);
  });

  it('is checked when a request gets no answer', async () => {
    const slow = new Dependency({
      ...{ name: 'store', setting: 'STORE_URL', consequence: 'events are kept in the queue', slowAfterMs: 3_000 },
      check: () => Promise.resolve(health),
      log: createLogger({ destination: { write: (line: string) => void records.push(JSON.parse(line)) } }),
    });
    const answers: (() => void)[] = [];
    const watched = reporting({ ask: () => new Promise<void>((resolve) => answers.push(resolve)) }, slow, isRetryable);
    void watched.ask();
    await pass(10_000);
    // The statement is a large one.
    expect(shown()).toEqual([]);
    health = AWAY;
    await pass(4_000);
    expect(shown()).toHaveLength(1);
    health = WELL;
    await pass(4_000);
    expect(shown()).toHaveLength(2);
    answers[0]?.();
    await pass(0);
    expect(slow.pending.size).toBe(0);
    slow.close();
  });

  it('notices failed calls and recognizes their errors', async () => {
    const error = new RetryableError('gone');
    const target = {
      calls: 0,
      save(ok: boolean) {
        this.calls++;
        return ok ? Promise.resolve(1) : Promise.reject(error);
      },
      refuse: () => Promise.reject(new RefusedError('no')),
      break: () => Promise.reject(new TypeError('bug')),
      health: () => Promise.resolve(AWAY),
    };
    const watched = reporting(target, store, isRetryable, { health: unhealthy });
    await expect(watched.save(true)).resolves.toBe(1);
    await expect(watched.refuse()).rejects.toThrow('no');
    await expect(watched.break()).rejects.toThrow('bug');
    expect(store.isTroubled).toBe(false);
    await expect(watched.save(false)).rejects.toBe(error);
    expect(target.calls).toBe(2);
    expect(store.isTroubled).toBe(true);
    expect(dependencyOf(new Error('wrapped', { cause: error }))).toBe(store);
    await pass(10_000);
    await watched.health();
    expect(store.isTroubled).toBe(true);
  });
});

it('an error of a client library is no bug, and a TypeError is one', () => {
  expect(isNoBug(new Error('Connection is closed.'))).toBe(true);
  expect(isNoBug(new TypeError('x is undefined'))).toBe(false);
  expect(isExpected(new Error('Connection is closed.'))).toBe(false);
  expect(dependencyOf(new Error('x'))).toBe(null);
});

it('a replaced method of a watched object is called instead', async () => {
  const dependency = { name: 'store', isTroubled: false, pending: new Set<never>(), worked: () => undefined, failed: () => undefined };
  const watched = reporting({ count: () => Promise.resolve(1) }, dependency, isRetryable);
  await expect(watched.count()).resolves.toBe(1);
  const spy = jest.spyOn(watched, 'count').mockResolvedValueOnce(2);
  await expect(watched.count()).resolves.toBe(2);
  await expect(watched.count()).resolves.toBe(1);
  spy.mockRestore();
  await expect(watched.count()).resolves.toBe(1);
});

it('a health check fails when its second part throws', async () => {
  const check = checked(
    'STORE_URL',
    () => Promise.resolve(WELL),
    () => Promise.reject(new Error('disk full')),
  );
  await expect(check()).resolves.toEqual({ ok: false, answers: true, detail: 'STORE_URL: disk full' });
});
