import { RefusedError, RetryableError } from '../../src/base/errors';
import { atMostEvery, createLogger, type LogOptions } from '../../src/base/log';
import { loadConfig } from '../../src/config/load';
import { HOSTILE } from '../support/hostile';

function lines(write: (log: ReturnType<typeof createLogger>) => void, options: LogOptions = {}): string[] {
  const written: string[] = [];
  write(createLogger({ destination: { write: (line: string) => void written.push(line) }, ...options }));
  return written;
}
const text = (write: Parameters<typeof lines>[0], options: LogOptions = {}) => lines(write, { ...options, format: 'text' });

test('the log contains no secrets', () => {
  const [line] = lines((log) =>
    log.info(
      { password: 'hunter2', config: { adminToken: 'hunter2', emqx: { apiSecret: 'hunter2' } }, headers: { authorization: 'hunter2' } },
      'x',
    ),
  );
  expect(line).not.toContain('hunter2');
  expect(line).toContain('***');
});

test('a log record is one line with any client id', () => {
  const written = lines((log) => log.warn({ clientid: 'a\n{"level":"error"}' }, 'b\r\nc'));
  expect(written).toHaveLength(1);
  expect(written[0]?.trimEnd()).not.toMatch(/[\r\n]/);
  expect(JSON.parse(written[0] ?? '')).toMatchObject({ level: 'warn', msg: 'b\r\nc' });
});

describe('a log line that repeats', () => {
  beforeEach(() => void jest.useFakeTimers());
  afterEach(() => void jest.useRealTimers());

  it('is written once per interval, with the number of suppressed lines', () => {
    const told: object[] = [];
    const call = atMostEvery(60_000, (fields: object) => void told.push(fields));
    for (let i = 0; i < 5; i++) call({ i }, 'a');
    call({ i: 9 }, 'b');
    expect(told).toEqual([{ i: 0 }, { i: 9 }]);
    jest.advanceTimersByTime(60_000);
    for (let i = 0; i < 5; i++) call({ i }, 'a');
    expect(told.slice(2)).toEqual([{ i: 0, suppressed: 4 }]);
    jest.advanceTimersByTime(60_000);
    call({ i: 1 }, 'b');
    expect(told.at(-1)).toEqual({ i: 1 });
  });
});

// The guard is errorView: pino's own serializer writes whatever hangs on an error.
test('the log has only type, message, stack, code and causes of an error', () => {
  const failed = Object.assign(new Error('WRONGPASS', { cause: Object.assign(new Error('inner'), { sql: 'hunter2' }) }), {
    command: { name: 'auth', args: ['hunter2'] },
    code: 'ERR',
  });
  const circle = new Error('one');
  circle.cause = new Error('two', { cause: circle });
  const [line = '', round = '', text = ''] = lines((log) => {
    log.warn({ err: failed }, 'x');
    log.warn({ err: circle }, 'x');
    log.warn({ err: 'text' }, 'x');
  });
  expect(JSON.parse(line)).toMatchObject({ err: { type: 'Error', message: 'WRONGPASS', code: 'ERR', cause: { message: 'inner' } } });
  expect(line).not.toContain('hunter2');
  expect(JSON.parse(round)).toMatchObject({ err: { message: 'one', cause: { message: 'two' } } });
  expect(JSON.parse(text)).toMatchObject({ err: 'text' });
});

test.each(HOSTILE)('a log record is one line with any client id or topic: %p', (name) => {
  const [line = '', ...more] = lines((log) => log.warn({ clientid: name, topic: name, err: new Error(name) }, name));
  expect(more).toEqual([]);
  expect(line.endsWith('}\n')).toBe(true);
  expect(line.slice(0, -1)).not.toMatch(/[\0-\x1f]/);
  expect(JSON.parse(line)).toMatchObject({ level: 'warn', clientid: name, topic: name, msg: name, err: { message: name } });
});

test('the log has a stack for a bug, not for an expected error', () => {
  const views = lines((log) => {
    log.warn({ err: new RetryableError('away', { cause: new Error('inner') }) }, 'x');
    log.warn({ err: new RefusedError('no') }, 'x');
    log.warn({ err: Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }) }, 'x');
    log.warn({ err: new TypeError('a is undefined') }, 'x');
  }).map((line) => line.includes('"stack"'));
  expect(views).toEqual([false, false, false, true]);
});

describe('LOG_LEVEL and LOG_FORMAT', () => {
  it.each([
    ['trace', 6],
    ['debug', 5],
    ['info', 4],
    ['warn', 3],
    ['error', 2],
    ['fatal', 1],
    ['silent', 0],
  ] as const)('%s writes that level and above', (level, count) => {
    const written = lines(
      (log) => {
        for (const each of ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const) log[each]('x');
      },
      { level },
    );
    expect(written).toHaveLength(count);
  });

  it('are settings, info and json by default', () => {
    expect(loadConfig({}).log).toEqual({ level: 'info', format: 'json' });
    expect(loadConfig({ LOG_LEVEL: 'debug', LOG_FORMAT: 'text' }).log).toEqual({ level: 'debug', format: 'text' });
    expect(loadConfig({ CONFIG_FILE: 'x.yaml' }, () => 'LOG_LEVEL: silent\nLOG_FORMAT: text\n').log).toEqual({
      level: 'silent',
      format: 'text',
    });
    expect(() => loadConfig({ LOG_LEVEL: 'loud' })).toThrow('LOG_LEVEL: must be one of trace, debug, info, warn, error, fatal, silent');
    expect(() => loadConfig({ LOG_FORMAT: 'xml' })).toThrow('LOG_FORMAT: must be one of json, text');
  });
});

describe('the text format', () => {
  it('is a line with the time, the level, the message, and key=value', () => {
    const [line = ''] = text((log) =>
      log.warn({ lane: 'client-0', attempt: 3, err: new RetryableError('it is away'), topics: ['a'], none: null }, 'job failed, retrying'),
    );
    expect(line.slice(25)).toBe(
      'WARN  job failed, retrying lane=client-0 attempt=3 err.type=RetryableError err.message="it is away" topics="[\\"a\\"]" none=null\n',
    );
    expect(line.slice(0, 25)).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z $/);
  });

  it.each([
    ...HOSTILE,
    'a\n2026-11-27T11:00:00.000Z ERROR forged',
    'x\u2028y',
    '\u001b[31mred',
    'a" level=ERROR',
    '\u202egnp.exe',
    'a b=c',
    '',
    '=',
  ])('is one line that says nothing else, whatever a client or a topic is called: %p', (name) => {
    const [line = '', ...more] = text((log) => log.warn({ clientid: name, [name]: 1, err: new TypeError(name) }, name));
    expect(more).toEqual([]);
    expect(line.endsWith('\n')).toBe(true);
    expect(line.slice(0, -1)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e]/);
    // The value can be read back: nothing in it ends it.
    const value = /clientid=("(?:[^"\\]|\\.)*"|[^\s"]+) /.exec(line)?.[1] ?? '';
    expect(value.startsWith('"') ? JSON.parse(value) : value).toBe(name);
  });

  it('hides secrets like the other format', () => {
    const secrets = { hide: (line: string) => line.replaceAll('hunter\\"2', '***').replaceAll('hunter"2', '***') };
    const [line = ''] = text((log) => log.info({ password: 'x', detail: 'AUTH hunter"2' }, 'hunter"2'), { secrets });
    expect(line).toMatch(/INFO  \*\*\* password=\*\*\* detail="AUTH \*\*\*"/);
  });
});
