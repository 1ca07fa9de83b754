import { once } from 'node:events';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { join } from 'node:path';
import { Stub } from '../emqx/stub';
import { publishEvent } from '../support/events';
import { ServerProcess } from '../support/process';
import { temporaryDirectory } from '../support/temp';
import { waitFor } from '../support/wait';

/** Each is unlike any other text; some need encoding in a URL and escaping in JSON. */
const SECRET = {
  store: 'St0re"P@ss/w%rd',
  queue: 'Qu3ue\\P@ss',
  history: 'H1st0ry:T0ken',
  ingest: '1ngest-T0ken-abcdef',
  previous: '1ngest-T0ken-before',
  admin: 'Adm1n-T0ken-abcdef',
  emqx: 'Emqx-S3cret-abcdef',
  signing: 'S1gning-K3y-abcdef',
};
const encoded = encodeURIComponent;

/** A Redis (or a proxy) that does not know AUTH and HELLO quotes their arguments. */
async function talkativeRedis(): Promise<Server> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      for (const command of chunk.toString().split(/(?=\*\d+\r\n)/)) {
        const words = command.split('\r\n').filter((word) => word !== '' && !/^[*$]\d/.test(word));
        socket.write(
          `-ERR unknown command '${words[0]}', with args beginning with: ${words
            .slice(1)
            .map((word) => `'${word}'`)
            .join(' ')}\r\n`,
        );
      }
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return server;
}

function expectNoSecret(text: string): void {
  for (const [name, secret] of Object.entries(SECRET)) {
    for (const spelling of [
      secret,
      encoded(secret),
      JSON.stringify(secret).slice(1, -1),
      Buffer.from(secret).toString('base64').slice(0, -4),
    ]) {
      if (text.includes(spelling))
        throw new Error(
          `the secret ${name} is in:\n${text.slice(Math.max(0, text.indexOf(spelling) - 500), text.indexOf(spelling) + 200)}`,
        );
    }
  }
}

describe('secrets', () => {
  const directory = temporaryDirectory();
  const running: ServerProcess[] = [];
  const stops: (() => unknown)[] = [];
  afterEach(async () => {
    await Promise.all(running.splice(0).map((server) => server.end('SIGKILL')));
    for (const stop of stops.splice(0)) await stop();
  });
  afterAll(() => directory.remove());

  const environment = async () => {
    const emqx = await Stub.start({ status: 401, body: { code: 'BAD_API_KEY_OR_SECRET', message: `no ${SECRET.emqx}` } });
    stops.push(() => emqx.stop());
    return {
      DATA_DIR: directory.path,
      HISTORY_URLS: `influxdb://user:${encoded(SECRET.history)}@127.0.0.1:1/db`,
      ...{ EMQX_URL: emqx.url, EMQX_API_KEY: 'key', EMQX_API_SECRET: SECRET.emqx },
      ...{ INGEST_TOKEN: SECRET.ingest, INGEST_TOKEN_PREVIOUS: SECRET.previous, ADMIN_TOKEN: SECRET.admin, SIGNING_KEY: SECRET.signing },
    };
  };
  const run = async (env: Record<string, string>, ...args: string[]) => {
    const server = await ServerProcess.run(env, ...args);
    running.push(server);
    return server;
  };
  /** Whatever it answers, errors too. */
  const askEverything = async ({ url }: ServerProcess) => {
    const events = [
      publishEvent({ topic: 't/1' }),
      { event: 'session.subscribed', clientid: 'c', topic: 't/1', qos: 1, timestamp: Date.now() },
    ];
    const texts: string[] = [];
    const ask = async (path: string, token: string | null, body?: unknown) => {
      const headers = { 'content-type': 'application/json', ...(token !== null && { authorization: `Bearer ${token}` }) };
      const answer = await fetch(
        `${url}${path}`,
        body === undefined ? { headers } : { method: 'POST', headers, body: JSON.stringify(body) },
      );
      texts.push(`${path} ${answer.status} ${JSON.stringify([...answer.headers])} ${await answer.text()}`);
    };
    for (const token of [null, 'wrong', SECRET.admin, SECRET.ingest, SECRET.previous]) {
      await ask('/v1/events', token, events);
      await ask('/v1/events', token, { nonsense: true });
      for (const path of ['/v1/stats', '/v1/messages', '/v1/dead-letters', '/v1/clients/c', '/readyz', '/healthz', '/metrics', '/nowhere'])
        await ask(path, token);
      await ask('/v1/deliveries', token, { clientid: 'c', topic: 't/1' });
      await ask('/v1/retained/restore', token, {});
    }
    return texts.join('\n');
  };

  // The guards: Secrets (ops/secrets.ts), errorView (ops/log.ts), ServiceUrl.
  it('are not in output or answers when the store is down and EMQX rejects the key', async () => {
    const store = `postgres://user:${encoded(SECRET.store)}@127.0.0.1:1/db`;
    const server = await run({ ...(await environment()), STORE_URL: store }, 'serve');
    await waitFor('the start', () => server.output.includes('STORE_URL: not available yet'), 30_000);
    const answers = await askEverything(server);
    expect(answers).toContain('"name":"store","ok":false');
    expect(answers).toContain('EMQX_API_KEY / EMQX_API_SECRET: refused by EMQX');
    expect(answers).toMatch(/\/v1\/events 202/);
    expectNoSecret(answers);
    expect(await server.end('SIGTERM')).toBe(0);
    expect(server.output).toContain('user:***@');
    expectNoSecret(server.output);
  }, 60_000);

  it("are not in output or answers when the queue's error quotes them", async () => {
    const redis = await talkativeRedis();
    stops.push(() => redis.close());
    const queue = `redis://user:${encoded(SECRET.queue)}@127.0.0.1:${(redis.address() as AddressInfo).port}`;
    const server = await run({ ...(await environment()), QUEUE_URL: queue }, 'serve');
    await waitFor('the start', () => server.output.includes('QUEUE_URL: not available yet'), 30_000);
    const answers = await askEverything(server);
    expect(answers).toContain('"name":"queue","ok":false');
    expect(answers).toMatch(/\/v1\/events 503/);
    await waitFor('what Redis says', () => server.output.includes('unknown command'));
    expectNoSecret(answers);
    expectNoSecret(server.output);
    expect(server.output).toContain('***');
  }, 60_000);

  it.each([
    [
      'a setting that is wrong',
      { STORE_URL: `postgres://user:${SECRET.store}@h:x/db`, QUEUE_URL: `nosql://user:${SECRET.queue}@h` },
      ['serve'],
      78,
    ],
    ['a store that is away', { STORE_URL: `mysql://user:${encoded(SECRET.store)}@127.0.0.1:1/db` }, ['migrate'], 1],
  ])(
    'are not in the output of a command: %s',
    async (_, env, args, code) => {
      const server = await run({ ...(await environment()), ...env }, ...args);
      expect(await server.exitCode).toBe(code);
      expectNoSecret(server.output);
    },
    60_000,
  );
});

describe('a server that other machines can reach', () => {
  const directory = temporaryDirectory();
  afterAll(() => directory.remove());

  it('does not listen without both tokens', async () => {
    const server = await ServerProcess.run({ DATA_DIR: directory.path, HOST: '0.0.0.0' }, 'serve');
    expect(await server.exitCode).toBe(78);
    expect(server.output).toBe(
      'INGEST_TOKEN: is required because HOST is 0.0.0.0, which other machines can reach\nADMIN_TOKEN: is required because HOST is 0.0.0.0, which other machines can reach\n',
    );
  });

  it('listens with TLS when it has a certificate', async () => {
    const file = (name: string) => join(__dirname, '../fixtures/tls', name);
    const server = await ServerProcess.run(
      { DATA_DIR: directory.path, TLS_CERT_FILE: file('cert.pem'), TLS_KEY_FILE: file('key.pem') },
      'serve',
    );
    try {
      await waitFor('the start', () => server.output.includes(`listens on ${server.url.replace('http:', 'https:')}`), 30_000);
      await expect(fetch(`${server.url}/healthz`)).rejects.toThrow();
    } finally {
      await server.end('SIGKILL');
    }
  });
});
