import { RefusedError, RetryableError } from '../../src/base/errors';
import { mapError } from '../../src/stores/clickhouse/errors';

/** As the client throws what an old server says, and what a new one says. */
const old = (code: number) => new Error(`Code: ${code}, e.displayText() = DB::Exception: the reason, e.what() = DB::Exception\n`);
const current = (code: number) => Object.assign(new Error('the reason. '), { code: String(code), type: 'X' });
const codes = (...list: number[]) =>
  list.flatMap((code): [number, Error][] => [
    [code, old(code)],
    [code, current(code)],
  ]);

describe('clickhouse errors', () => {
  it.each(codes(27, 53, 117, 395, 469))('code %i rejects the message when rows are inserted', (code, error) => {
    expect(mapError(error, true)).toBeInstanceOf(RefusedError);
    expect(mapError(error, true).message).toBe(`the reason (code ${code})`);
    expect(mapError(error)).toBeInstanceOf(RetryableError);
  });

  it.each(codes(159, 202, 241, 242, 243, 252, 999))('code %i is retried', (code, error) => {
    expect(mapError(error, true)).toBeInstanceOf(RetryableError);
    expect(mapError(error, true).message).toBe(`the reason (code ${code})`);
  });

  it.each([
    [193, 'ClickHouse rejected the login: check user and password'],
    [516, 'ClickHouse rejected the login: check user and password'],
    [81, 'the reason: create the database first'],
    [164, 'the reason: the user is read-only and needs to write'],
    [497, 'the reason: the user needs more rights'],
    [60, 'the reason: run "emqx-offline-store migrate"'],
  ])('code %i has an error text with advice', (code, expected) => {
    for (const error of [old(code), current(code)])
      expect(mapError(error, true)).toMatchObject({ name: 'RetryableError', message: expected });
  });

  it.each([
    ['ECONNREFUSED', /cannot connect to ClickHouse .*check host and port/],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', /certificate .*ca=/],
    ['ERR_TLS_CERT_ALTNAME_INVALID', /certificate .*check host/],
    ['EPROTO', /no TLS at this port/],
    ['ECONNRESET', /ended the connection .*tls=/],
  ])('code %s has an error text with advice', (code, expected) => {
    const failure = Object.assign(new Error(`${code} ::1:8123`), { code });
    expect(mapError(failure)).toMatchObject({ name: 'RetryableError', message: expect.stringMatching(expected) as string });
    expect(mapError(Object.assign(new AggregateError([failure]), { code })).message).toMatch(expected);
  });
});
