import { loadConfig } from '../../src/config/load';
import { setupOf } from '../../src/ops/setup';

const SETTINGS = { INGEST_TOKEN: 'ingest-secret', ADMIN_TOKEN: 'a' };
const setup = (env: NodeJS.ProcessEnv = SETTINGS, wish: Partial<Parameters<typeof setupOf>[1]> = {}) =>
  setupOf(loadConfig(env), { set: 'offline-messages', topics: [], emqx: null, showsToken: true, ...wish });

test('the set-up has a command for this server, with topics quoted for a shell', () => {
  expect(setup().command).toBe('node dist/main.js rules --install --set offline-messages --url http://127.0.0.1:8480');
  expect(setup(SETTINGS, { set: 'full', topics: ['a/b c', 'c/#', 'd'] }).command).toBe(
    `node dist/main.js rules --install --set full --url http://127.0.0.1:8480 --topic 'a/b c' --topic 'c/#' --topic d`,
  );
  expect(setup({ ...SETTINGS, POLICIES: '[{"filter":"shop/#"}]' }).command).toContain(` --topic 'shop/#'`);
  expect(setup({ ...SETTINGS, POLICIES: '[{"filter":"shop/#"}]' }).rules).toContain('shop/#');
  expect(setup({ ...SETTINGS, HOST: '0.0.0.0' }).command).toContain('--url http://ADDRESS-OF-THIS-SERVER:8480');
});

test('the set-up has rules for EMQX 4 and 5, with the token for admins only', () => {
  for (const emqx of [4, 5] as const) {
    const { rules } = setup(SETTINGS, { emqx, topics: ['shop/#'] });
    expect(JSON.parse(rules)).toBeInstanceOf(Object);
    expect(rules).toContain('shop/#');
    expect(rules).toContain('Bearer ingest-secret');
    const hidden = setup(SETTINGS, { emqx, showsToken: false });
    expect(hidden.rules).toContain('Bearer ***');
    expect(hidden.rules + hidden.command).not.toContain('ingest-secret');
  }
  expect(setup({}).rules).not.toContain('Bearer');
});
