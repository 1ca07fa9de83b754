import { atMostEvery, createLogger } from '../../src/ops/log';

function lines(write: (log: ReturnType<typeof createLogger>) => void): string[] {
  const written: string[] = [];
  write(createLogger({ destination: { write: (line: string) => void written.push(line) } }));
  return written;
}

test('secrets are not written, wherever they are', () => {
  const [line] = lines((log) =>
    log.info({ password: 'hunter2', config: { adminToken: 'hunter2', emqx: { apiSecret: 'hunter2' } }, headers: { authorization: 'hunter2' } }, 'x'),
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
