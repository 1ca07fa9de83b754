import { atMostEvery, createLogger } from '../../src/base/log';
import { HOSTILE } from '../support/hostile';

function lines(write: (log: ReturnType<typeof createLogger>) => void): string[] {
  const written: string[] = [];
  write(createLogger({ destination: { write: (line: string) => void written.push(line) } }));
  return written;
}

test('secrets are not written, wherever they are', () => {
  const [line] = lines((log) =>
    log.info(
      { password: 'hunter2', config: { adminToken: 'hunter2', emqx: { apiSecret: 'hunter2' } }, headers: { authorization: 'hunter2' } },
      'x',
    ),
  );
  expect(line).not.toContain('hunter2');
  expect(line).toContain('***');
});

test('a line is one line, whatever a client calls itself', () => {
  const written = lines((log) => log.warn({ clientid: 'a\n{"level":"error"}' }, 'b\r\nc'));
  expect(written).toHaveLength(1);
  expect(written[0]?.trimEnd()).not.toMatch(/[\r\n]/);
  expect(JSON.parse(written[0] ?? '')).toMatchObject({ level: 'warn', msg: 'b\r\nc' });
});

test('what happens thousands of times is told once', () => {
  const told: number[] = [];
  const call = atMostEvery(60_000, (_, unlogged) => void told.push(unlogged));
  for (let i = 0; i < 5; i++) call({});
  expect(told).toEqual([0]);
});

// The guard is errorView: pino's own serializer writes whatever hangs on an error.
test('of an error only its type, message, stack, code and causes are written', () => {
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

test.each(HOSTILE)('a line is one record, whatever a client or a topic is called: %p', (name) => {
  const [line = '', ...more] = lines((log) => log.warn({ clientid: name, topic: name, err: new Error(name) }, name));
  expect(more).toEqual([]);
  expect(line.endsWith('}\n')).toBe(true);
  expect(line.slice(0, -1)).not.toMatch(/[\0-\x1f]/);
  expect(JSON.parse(line)).toMatchObject({ level: 'warn', clientid: name, topic: name, msg: name, err: { message: name } });
});
