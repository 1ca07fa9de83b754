import { reporting, isRetryable } from '../../src/base/dependency';
import { Dependency } from '../../src/base/dependency-log';
import { RetryableError } from '../../src/base/errors';
import { createLogger } from '../../src/base/log';
import { emqxAnswers } from '../../src/server/dependencies';
import { retryLog, trimmingLog } from '../../src/server/failure-log';

describe('the log of retried jobs', () => {
  let records: Record<string, unknown>[];
  const logger = () =>
    createLogger({
      level: 'debug',
      destination: { write: (line: string) => void records.push(JSON.parse(line) as (typeof records)[number]) },
    });
  const shown = () => records.filter(({ level }) => level !== 'debug');
  beforeEach(() => {
    records = [];
    jest.useFakeTimers();
  });
  afterEach(() => void jest.useRealTimers());

  it('has one line per minute and lane', () => {
    const retry = retryLog(logger());
    for (let i = 1; i <= 1_000; i++) for (const lane of ['messages-0', 'clients-0']) retry(lane, new RetryableError('busy'), i);
    jest.advanceTimersByTime(60_000);
    retry('messages-0', new RetryableError('busy'), 9);
    expect(records).toMatchObject([
      { level: 'warn', msg: 'job failed, retrying', lane: 'messages-0', attempt: 1, err: { message: 'busy' } },
      { level: 'warn', msg: 'job failed, retrying', lane: 'clients-0' },
      { level: 'warn', msg: 'job failed, retrying', lane: 'messages-0', suppressed: 999 },
    ]);
    expect(JSON.stringify(records)).not.toContain('"stack"');
  });

  it('has an error with its stack when the cause is a bug', () => {
    retryLog(logger())('messages-0', new TypeError('x is undefined'), 1);
    trimmingLog(logger())(new TypeError('y is undefined'));
    expect(records).toMatchObject([
      { level: 'error', msg: 'job failed unexpectedly, retrying', err: { stack: expect.stringContaining('failure-log.test') } },
      {
        level: 'error',
        msg: 'topic not trimmed to maxStored: unexpected error',
        err: { stack: expect.stringContaining('failure-log.test') },
      },
    ]);
  });

  it('has debug lines during an outage of the store, and warnings otherwise', async () => {
    let ok = false;
    const store = new Dependency({
      ...{ name: 'store', setting: 'STORE_URL', consequence: 'events wait', log: logger() },
      check: () => Promise.resolve({ ok, detail: 'gone' }),
    });
    const watched = reporting({ save: () => Promise.reject(new RetryableError('gone')) }, store, isRetryable);
    const error = await watched.save().catch((each: unknown) => each as Error);
    const [retry, trimming] = [retryLog(logger()), trimmingLog(logger())];
    retry('messages-0', error as Error, 1);
    trimming(error);
    expect(shown()).toEqual([]);
    expect(records).toContainEqual(expect.objectContaining({ level: 'debug', msg: 'store unavailable, retrying', lane: 'messages-0' }));
    await jest.advanceTimersByTimeAsync(1_000);
    ok = true;
    await jest.advanceTimersByTimeAsync(4_000);
    expect(shown()).toHaveLength(2);
    retry('messages-0', error as Error, 2);
    trimming(error);
    expect(shown().slice(2)).toMatchObject([
      { level: 'warn', msg: 'request to store failed, retrying', lane: 'messages-0', attempt: 2 },
      { level: 'warn', msg: 'topic not trimmed to maxStored; it is checked again later' },
    ]);
    store.close();
  });
});

test.each([
  ['EMQX 5.8.9', 'EMQX_URL: EMQX 5.8.9 at http://e/api/v5 answers, 1 node'],
  ['EMQX 5.8.9, 2 of 3 nodes running', 'EMQX_URL: EMQX 5.8.9 at http://e/api/v5 answers, 2 of 3 nodes running'],
  ['EMQX 5.8.9 and 5.8.10, 2 of 2 nodes running', 'EMQX_URL: EMQX 5.8.9 and 5.8.10 at http://e/api/v5 answers, 2 of 2 nodes running'],
  ['EMQX answers; its version is unknown', 'EMQX_URL: EMQX answers; its version is unknown'],
])('the log line about EMQX at the start: %s', (detail, line) => {
  expect(emqxAnswers(detail, 'http://e/api/v5')).toBe(line);
});
