import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { ackEvent, publishEvent } from '../support/events';
import { ServerProcess } from '../support/process';
import { redisOf } from '../support/redis';
import { temporaryDirectory } from '../support/temp';
import { waitFor } from '../support/wait';

interface Page {
  messages: { id: string; topic: string; text: string }[];
}

describe('the server process with the embedded store and queue', () => {
  const directory = temporaryDirectory();
  const environment = { DATA_DIR: directory.path };
  const running: ServerProcess[] = [];
  const serve = async (more: Record<string, string> = {}) => {
    const server = await ServerProcess.serve({ ...environment, ...more });
    running.push(server);
    return server;
  };

  afterEach(async () => {
    await Promise.all(running.splice(0).map((server) => server.end('SIGKILL')));
  });
  afterAll(() => directory.remove());

  it('prints its address, the rule command and warnings at the start', async () => {
    const server = await serve({ STORE_ULR: 'redis://h' });
    expect(server.output).toMatch(
      /"level":"warn".*"setting":"STORE_ULR","advice":"did you mean STORE_URL\?","msg":"STORE_ULR: is in the environment/,
    );
    expect(server.output).toContain(`listens on ${server.url}`);
    expect(server.output).toContain(`node dist/main.js rules --install --url ${server.url}\n`);
    expect(server.output).toContain(directory.path);
    expect(server.output).toContain('WARNING: EMQX_API_KEY');
    expect(await server.get('/readyz')).toMatchObject({
      checks: expect.arrayContaining([expect.objectContaining({ name: 'emqx', ok: false })]),
    });
  });

  it('promise 1: still has every accepted event after kill -9', () => killAndCount(environment), 120_000);

  it('keeps everything on SIGTERM, and rejects a second process in DATA_DIR', async () => {
    const server = await serve();
    await server.post('/v1/events', [publishEvent({ topic: 'term/1', id: 'KEPT' }), publishEvent({ topic: 'term/1', id: 'GONE' })]);
    await server.post('/v1/events', ackEvent('GONE', 'term/1'));
    const second = await ServerProcess.run(environment, 'serve');
    expect(await second.exitCode).toBe(78);
    expect(second.output).toContain('DATA_DIR');
    expect(await server.end('SIGTERM')).toBe(0);

    const again = await serve();
    const ids = await waitFor('the writes', async () => {
      const { messages } = await again.get<Page>('/v1/messages?topic=term/1');
      return messages.length === 1 && messages.map(({ id }) => id);
    });
    expect(ids).toEqual(['KEPT']);
  });

  it('lists every wrong setting at once and exits with 78', async () => {
    const server = await ServerProcess.run({ PORT: '99999', STORE_URL: 'oracle://x', POLICIES: '[{"filter":"a/#/b"}]' }, 'serve');
    expect(await server.exitCode).toBe(78);
    for (const key of ['PORT', 'STORE_URL', 'POLICIES']) expect(server.output).toContain(key);
  });

  it("prints a rule with the operator's URL, topics and token", async () => {
    const server = await ServerProcess.run(
      { INGEST_TOKEN: 'let-me-in' },
      'rules',
      'offline-messages',
      '--url',
      'http://store:8480',
      '--topic',
      'a/#',
      '--topic',
      'b/+',
    );
    expect(await server.exitCode).toBe(0);
    const rule = JSON.parse(server.output) as { connectors: { http: { offline_store: { url: string; headers: unknown } } } };
    expect(rule.connectors.http.offline_store).toMatchObject({ url: 'http://store:8480', headers: { authorization: 'Bearer let-me-in' } });
    expect(server.output).toContain('\\"a/#\\", \\"b/+\\"');
  });

  it('prints a rule for EMQX 4 with a fallback server', async () => {
    const server = await ServerProcess.run({}, 'rules', 'full', '--emqx', '4', '--url', 'http://a:8480', '--url', 'http://b:8480');
    expect(await server.exitCode).toBe(0);
    const { resources, rules } = JSON.parse(server.output) as { resources: { config: { url: string } }[]; rules: { actions: unknown[] }[] };
    expect(resources.map(({ config }) => config.url)).toEqual(['http://a:8480', 'http://b:8480']);
    expect(rules[0]?.actions).toMatchObject([{ fallbacks: [{ name: 'data_to_webserver' }] }]);
  });

  it('works with EMQX 4, and prints the command that installs the rule there', async () => {
    const server = await serve({ EMQX_URL: 'http://127.0.0.1:1/api/v4', EMQX_API_KEY: 'k', EMQX_API_SECRET: 's' });
    expect(server.output).toContain('rules --install --url http://127.0.0.1:');
    expect(server.output).not.toContain('curl');
  });

  it.each([
    [
      { EMQX_URL: 'http://127.0.0.1:8081/api/v4', POLICIES: '[{"filter":"#","retain":"restore"}]' },
      /^POLICIES\[0\]\.retain: "restore" needs EMQX 5/m,
    ],
    [{ STORE_URL: 'mysql://localhost' }, /^STORE_URL: names no database/m],
    [{ STORE_URL: 'cassandra://localhost/offline' }, /^STORE_URL: .*dc/m],
    [{ STORE_URL: 'redis://localhost?tsl=true' }, /^STORE_URL: unknown parameter tsl/m],
    [{ STORE_URL: 'postgres://localhost/x?ca=/absent.pem' }, /^STORE_URL: the file of ca= can't be read/m],
    [{ HISTORY_URLS: 'influxdb://localhost' }, /^HISTORY_URLS: /m],
    [{ HISTORY_URLS: 'opentsdb://localhost?templates=/absent.json' }, /^HISTORY_URLS: .*can't be read/m],
  ])('exits with 78 and one line for an invalid URL: %j', async (setting, message) => {
    const server = await ServerProcess.run({ DATA_DIR: directory.path, ...setting }, 'serve');
    expect(await server.exitCode).toBe(78);
    expect(server.output).toMatch(message);
  });

  it('migrates from the command line', async () => {
    const server = await ServerProcess.run(environment, 'migrate');
    expect(await server.exitCode).toBe(0);
    expect(server.output).toMatch(/^store: embedded \(LMDB\), format \d+$/m);
  });
});

describe('the server process with PostgreSQL and Redis', () => {
  withBackends(['postgres', 'redis'], ({ postgres, redis }) => {
    it('promise 1: still has every accepted event after kill -9', async () => {
      await killAndCount({ STORE_URL: await emptyDatabase(postgres, 'offline_kill'), QUEUE_URL: redisOf('server/process', redis) });
    }, 120_000);
  });
});

/** The guard is the await of the queue's add before the 202 (Lanes.add): answering first loses what is in memory. */
async function killAndCount(environment: Record<string, string>): Promise<void> {
  const server = await ServerProcess.serve(environment);
  const accepted: string[] = [];
  let killed = false;
  const answers = Array.from({ length: 400 }, async (_, i) => {
    const event = publishEvent({ topic: `kill/${i % 7}` });
    const answer = await server.post('/v1/events/message.publish', event).catch(() => null);
    if (answer?.status === 202) accepted.push(String(event['id']));
    if (accepted.length >= 100 && !killed) {
      killed = true;
      await server.end('SIGKILL');
    }
  });
  await Promise.all(answers);
  expect(killed).toBe(true);

  const again = await ServerProcess.serve(environment);
  try {
    // A job that was in hand is free again when the lock of the dead process is over (WORKER_OPTIONS).
    const stored = await waitFor(
      'all accepted messages',
      async () => {
        const { messages } = await again.get<Page>('/v1/messages?filter=kill/+&limit=1000');
        const ids = new Set(messages.map(({ id }) => id));
        return accepted.every((id) => ids.has(id)) ? ids : null;
      },
      30_000,
    );
    expect(stored.size).toBeGreaterThanOrEqual(accepted.length);
  } finally {
    await again.end('SIGKILL');
  }
}
