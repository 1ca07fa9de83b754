import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connectAsync } from 'mqtt';
import { Client } from 'pg';
import { loadConfig } from '../../src/config/load';
import { openEmqx } from '../../src/emqx/open';
import { EmqxV5 } from '../../src/emqx/v5';
import { InstallerV5 } from '../../src/emqx/v5-installer';
import { checkBroker } from '../../src/doctor/broker';
import { lineOf, type Finding } from '../../src/doctor/finding';
import { checkSettings } from '../../src/doctor/settings';
import { settingWarnings } from '../../src/ops/setting-warnings';
import { weaknessesOf } from '../../src/redis/durability';
import type { RedisConnection } from '../../src/redis/connect';
import { EmqxStandIn } from '../standin';
import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { ServerProcess } from '../support/process';
import { redisOf } from '../support/redis';
import { temporaryDirectory } from '../support/temp';

type Json = Record<string, unknown>;

async function install(emqx: EmqxStandIn, name: string, change: (file: string) => string = (file) => file): Promise<void> {
  const file = change(readFileSync(join(__dirname, `../../rules/emqx5/${name}.json`), 'utf8'));
  const authorization = `Basic ${Buffer.from(`${emqx.apiKey}:${emqx.apiSecret}`).toString('base64')}`;
  const answer = await fetch(`${emqx.apiUrl}/configs?mode=merge`, {
    method: 'PUT',
    headers: { 'content-type': 'text/plain', authorization },
    body: file,
  });
  expect(answer.status).toBe(200);
}

async function all(findings: AsyncIterable<Finding>): Promise<string[]> {
  const lines: string[] = [];
  for await (const finding of findings) lines.push(lineOf(finding));
  return lines;
}

describe("the doctor's check of EMQX", () => {
  let emqx: EmqxStandIn;
  beforeEach(async () => {
    emqx = await EmqxStandIn.start();
  });
  afterEach(() => emqx.stop());

  async function findings(settings: Record<string, string> = {}, key = emqx.apiKey): Promise<string[]> {
    const client = new EmqxV5({ url: emqx.apiUrl, apiKey: key, apiSecret: emqx.apiSecret, backoff: { retries: 0 } });
    const config = loadConfig({ EMQX_URL: emqx.apiUrl, EMQX_API_KEY: key, EMQX_API_SECRET: emqx.apiSecret, ...settings });
    try {
      return await all(checkBroker(client, config));
    } finally {
      await client.close();
    }
  }

  it('finds nothing when a rule is installed as supplied', async () => {
    await install(emqx, 'offline-messages');
    expect(await findings()).toEqual([
      'ok       emqx: EMQX 5.8.9',
      "ok       clock: EMQX's clock agrees with this server's to within 2 s",
      'ok       rule offline_messages: as shipped (offline-messages)',
    ]);
  });

  // The guard is `uncovered` in checkRules.
  it('names the topics of a rule that no policy covers', async () => {
    await install(emqx, 'offline-messages');
    const told = async (...policies: object[]) =>
      (await findings({ POLICIES: JSON.stringify(policies) })).filter((line) => line.includes(' policies: '));
    expect(await told({ filter: 't/+/1' }, { filter: 'u/#' })).toEqual([
      expect.stringMatching(/^warning  policies: a rule tells of messages of t\/#, and no policy covers all/),
    ]);
    for (const filter of ['#', '+/#', 't/#']) expect(await told({ filter: 't/1', mode: 'off' }, { filter })).toEqual([]);
  });

  it('warns that EMQX 4 does not retry events', async () => {
    const old = await EmqxStandIn.start({}, 4);
    const config = loadConfig({ EMQX_URL: old.apiUrl, EMQX_API_KEY: old.apiKey, EMQX_API_SECRET: old.apiSecret });
    const client = openEmqx(config.emqx.version, { url: config.emqx.url, apiKey: old.apiKey, apiSecret: old.apiSecret });
    expect(await all(checkBroker(client, config))).toEqual([
      'ok       emqx: EMQX 4.4.19',
      expect.stringMatching(/^warning  events: EMQX 4 does not retry: .* is lost; .* → .*--url A --url B/),
    ]);
    await client.close();
    await old.stop();
  });

  it('shows how to import a rule when none is installed', async () => {
    expect(await findings()).toContainEqual(
      expect.stringMatching(
        /^problem  rules: no rule .*: nothing is stored → node dist\/main\.js rules --install --url http:\/\/127\.0\.0\.1:8480$/,
      ),
    );
  });

  it.each([
    [
      'random',
      (file: string) => file.replace('"hash"', '"random"'),
      /^problem  rule offline_full: connector offline_store has pool_type random/,
    ],
    [
      'a short request_ttl',
      (file: string) => file.replace('"infinity"', '"45s"'),
      /^problem  rule offline_full: action offline_full has request_ttl 45s/,
    ],
    [
      'a disabled rule',
      (file: string) =>
        file
          .replace('"description"', '"enable": false, "description"')
          .replace(
            /"enable": true,(\s*"description": "offline-messages and client-state in one rule: import it in place of those",\s*"sql")/,
            '"enable": false,$1',
          ),
      /is disabled/,
    ],
  ])('finds %s', async (_name, change, line) => {
    await install(emqx, 'full', change);
    expect(await findings()).toContainEqual(expect.stringMatching(line));
  });

  it('finds a connector with another port, protocol or token than the server', async () => {
    const installer = new InstallerV5({ url: emqx.apiUrl, apiKey: emqx.apiKey, apiSecret: emqx.apiSecret });
    const changes = await installer.plan({
      set: 'offline-messages',
      name: 'offline',
      topics: ['t/#'],
      url: 'https://127.0.0.1:8480',
      token: 'old-token',
    });
    for (const change of changes) await change.carryOut();
    installer.close();
    const repair = '→ node dist/main.js rules --install --url http://127.0.0.1:';
    expect(await findings({ INGEST_TOKEN: 'new-token' })).toEqual(
      expect.arrayContaining([
        `problem  rule offline_messages: connector offline_store posts to https://127.0.0.1:8480, and the server speaks plain HTTP there (TLS_CERT_FILE is not set): no event arrives ${repair}8480`,
        `problem  rule offline_messages: connector offline_store sends another token than INGEST_TOKEN: every event is answered 401 and lost ${repair}8480`,
      ]),
    );
    const rotated = await findings({ INGEST_TOKEN: 'new-token', INGEST_TOKEN_PREVIOUS: 'old-token', PORT: '9000' });
    expect(rotated).toEqual(
      expect.arrayContaining([
        `warning  rule offline_messages: connector offline_store posts to port 8480 (https://127.0.0.1:8480), and PORT is 9000 ${repair}9000`,
        `warning  rule offline_messages: connector offline_store still sends INGEST_TOKEN_PREVIOUS ${repair}9000`,
      ]),
    );
    expect(rotated.filter((line) => line.startsWith('problem'))).toEqual([]);
    expect((await findings({ INGEST_TOKEN: 'old-token' })).join()).not.toContain('another token');
  });

  it('finds lost events, a missing token and rules that store twice', async () => {
    await install(emqx, 'offline-messages');
    await install(emqx, 'full');
    emqx.rest.lost = { offline_messages: 7 };
    const lines = await findings({ INGEST_TOKEN: 'secret-token' });
    expect(lines).toContainEqual(expect.stringContaining('has given up 7 events'));
    expect(lines).toContainEqual(expect.stringContaining('sends no token: every event is answered 401 and lost'));
    expect(lines).toContainEqual(expect.stringMatching(/^warning  rules: 2 rules tell of messages/));
  });

  it.each([
    [10_000, /^problem  clock: EMQX's clock is \d+\.\d s ahead of this server's/],
    [-10_000, /^problem  clock: EMQX's clock is \d+\.\d s behind this server's/],
  ])('finds a clock difference of %i ms', async (skew, line) => {
    await install(emqx, 'full');
    emqx.rest.clockAheadMs = skew;
    expect(await findings()).toContainEqual(expect.stringMatching(line));
  });

  it('finds a wrong key and an outage of EMQX', async () => {
    expect(await findings({}, 'wrong')).toEqual([expect.stringMatching(/^problem  emqx: EMQX_API_KEY .*401/)]);
    emqx.rest.outage = 503;
    expect(await findings()).toEqual([expect.stringMatching(/^problem  emqx: .*503/)]);
  });

  it.each([
    [
      'GET /nodes',
      /\/nodes/,
      [
        /^ok {7}emqx: EMQX answers; its version, .* unknown/,
        /^warning {2}clock: not checked: .*403 DOWN\) for GET \/nodes/,
        /^ok {7}rule offline_full/,
      ],
    ],
    ['GET /rules', /\/rules/, [/^ok {7}emqx: EMQX 5/, /^warning {2}rules: not checked: .*for GET \/rules/]],
    ['GET /clients', /\/clients/, [/^warning {2}clients: not checked: .*for GET \/clients/]],
  ])('reports without a problem that the key may not %s', async (_, route, lines) => {
    await install(emqx, 'full');
    emqx.rest.spoiled = { route, outage: 403 };
    const found = await findings();
    for (const line of lines) expect(found).toContainEqual(expect.stringMatching(line));
    expect(found.filter((line) => line.startsWith('problem'))).toEqual([]);
  });

  it('finds durable sessions, mountpoints and message queues', async () => {
    await install(emqx, 'full');
    emqx.broker.durableSessions = true;
    emqx.broker.messageQueues = true;
    emqx.broker.mountpointOf = () => 'mp/';
    const client = await connectAsync(emqx.mqttUrl, {
      clientId: 'c',
      protocolVersion: 5,
      clean: true,
      properties: { sessionExpiryInterval: 60 },
    });
    const lines = await findings({ POLICIES: '[{"filter":"#","deliverTo":"inbox"}]' });
    await client.endAsync();
    expect(lines).toContainEqual(expect.stringMatching(/^warning {2}clients: 1 of 1 have a durable session/));
    expect(lines).toContainEqual(expect.stringMatching(/^problem {2}clients: EMQX puts "mp\/" before the topics of "c": nothing .* inbox/));
    expect(lines).toContainEqual(expect.stringMatching(/^warning {2}queues: EMQX's message queues run/));
    expect((await findings()).filter((line) => line.startsWith('problem'))).toEqual([]);
  });

  it('checks that the retainer is on when it is needed', async () => {
    await install(emqx, 'full');
    expect(await findings({ POLICIES: '[{"filter":"#","retain":"restore"}]' })).toContain('ok       retainer: is on');
  });
});

describe("the doctor's check of the settings", () => {
  const lines = (policies: Json[]): string[] => {
    const config = loadConfig({
      EMQX_API_KEY: 'k',
      EMQX_API_SECRET: 's',
      STORE_URL: 'redis://a',
      QUEUE_URL: 'redis://a',
      POLICIES: JSON.stringify(policies),
    });
    return checkSettings(config, settingWarnings(config, {})).map(lineOf);
  };

  it('finds valid settings that are probably mistakes', () => {
    expect(lines([{ filter: '#' }])).toEqual(['ok       settings: 1 policy']);
    expect(lines([{ filter: 'a/#' }, { filter: 'a/b' }, { filter: '#' }])).toEqual([
      expect.stringMatching(/^warning  policy a\/b: is never used: the policy a\/# comes before it .* → put the policy a\/b before/),
    ]);
    expect(lines([{ filter: '#', mode: 'pubsub' }])).toEqual([
      expect.stringMatching(/^warning  policy #: mode pubsub with deliverTo topic/),
    ]);
    expect(lines([{ filter: '#', window: 1000 }])).toEqual([expect.stringMatching(/^warning  policy #: window 1000/)]);
  });

  it('explains a policy list that does not end with #', () => {
    expect(lines([{ filter: 'a/#' }])).toEqual([
      'ok       settings: 1 policy',
      'ok       policies: no policy has the filter #: a message whose topic no policy matches is not stored',
    ]);
  });
});

describe("the doctor's check of Redis", () => {
  const redis = (...infos: string[]) =>
    ({ info: async (section: string) => infos.find((info) => info.includes(`# ${section}`)) ?? '' }) as unknown as RedisConnection;

  it('reports a Redis that may lose confirmed writes', async () => {
    const weak = await weaknessesOf(
      redis('# persistence\r\naof_enabled:0\r\n', '# memory\r\nmaxmemory:1000000\r\nmaxmemory_policy:allkeys-lru\r\n'),
    );
    expect(weak.map(({ remedy }) => remedy)).toEqual(['set appendonly yes', 'set maxmemory-policy noeviction']);
    expect(
      await weaknessesOf(redis('# persistence\r\naof_enabled:1\r\n', '# memory\r\nmaxmemory:1000000\r\nmaxmemory_policy:noeviction\r\n')),
    ).toEqual([]);
    // It has no bound, so it evicts nothing.
    expect(
      await weaknessesOf(redis('# persistence\r\naof_enabled:1\r\n', '# memory\r\nmaxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n')),
    ).toEqual([]);
  });
});

describe('emqx-offline-store doctor', () => {
  const directory = temporaryDirectory();
  const elsewhere = temporaryDirectory();
  const run = async (environment: Record<string, string>) => {
    const process = await ServerProcess.run({ DATA_DIR: directory.path, ...environment }, 'doctor');
    return { code: await process.exitCode, lines: process.output.trim().split('\n') };
  };
  let emqx: EmqxStandIn;
  let key: Record<string, string>;
  beforeAll(async () => {
    emqx = await EmqxStandIn.start();
    key = { EMQX_URL: emqx.apiUrl, EMQX_API_KEY: emqx.apiKey, EMQX_API_SECRET: emqx.apiSecret };
    await install(emqx, 'full');
  });
  afterAll(async () => {
    await emqx.stop();
    directory.remove();
    elsewhere.remove();
  });

  it('exits with 1 before migration, and asks the running server about its files', async () => {
    const before = await run(key);
    expect(before.code).toBe(1);
    expect(before.lines).toContainEqual(expect.stringMatching(/^problem  store: .*emqx-offline-store migrate/));

    const server = await ServerProcess.serve({ DATA_DIR: directory.path, ...key });
    try {
      await install(emqx, 'full', (file) => file.replace('http://127.0.0.1:8480', server.url));
      const after = await run({ ...key, PORT: new URL(server.url).port });
      expect(after.lines).toContainEqual(expect.stringMatching(/^ok {7}store: .*says the running server/));
      expect(after.lines).toContainEqual(expect.stringMatching(/^ok {7}embedded: data\.mdb has [\d.]+ MB$/));
      expect(after.lines).toContainEqual(expect.stringMatching(/^ok {7}disk: the disk of DATA_DIR has /));
      expect(after.lines.filter((line) => line.startsWith('warning'))).toEqual([]);
      expect(after.code).toBe(0);

      // Whoever has a wrong token is told by the server that refused it.
      const token = { INGEST_TOKEN: 'token-of-the-server', DATA_DIR: elsewhere.path };
      const guarded = await ServerProcess.serve({ ...key, ...token });
      await guarded.post('/v1/events/message.publish', {});
      const told = await run({ ...key, ...token, PORT: new URL(guarded.url).port });
      await guarded.end('SIGKILL');
      expect(told.lines).toContainEqual(
        expect.stringMatching(/^problem  events: 1 event refused for a missing or wrong token .*node dist\/main\.js rules --install/),
      );
      // Where nothing answers it says so.
      expect((await run({ ...key, PORT: '1' })).lines).toContainEqual(
        expect.stringMatching(/^problem  embedded: DATA_DIR: .* in use by process/),
      );
    } finally {
      await server.end('SIGKILL');
    }
    // Six starts of a process, five with the embedded database.
  }, 120_000);

  withBackends(['postgres', 'redis'], ({ postgres, redis }) => {
    it('checks the rights that the server needs', async () => {
      const url = new URL(await emptyDatabase(postgres, 'offline_doctor'));
      const environment = { ...key, STORE_URL: url.href, QUEUE_URL: redisOf('ops/doctor', redis) };
      expect(await (await ServerProcess.run(environment, 'migrate')).exitCode).toBe(0);
      const fine = await run(environment);
      expect(fine.lines).toContainEqual(expect.stringMatching(/^ok {7}store: PostgreSQL .* a message was written, read and removed$/));
      expect(fine.lines).toContainEqual(expect.stringMatching(/^ok {7}queue: Redis/));
      expect(fine.code).toBe(0);

      const client = new Client({ connectionString: url.href });
      await client.connect();
      await client.query(
        `DROP ROLE IF EXISTS offline_reader; CREATE ROLE offline_reader LOGIN PASSWORD 'reader'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO offline_reader`,
      );
      url.username = 'offline_reader';
      url.password = 'reader';
      const reader = await run({ ...environment, STORE_URL: url.href });
      await client.query('DROP OWNED BY offline_reader; DROP ROLE offline_reader');
      expect((await client.query("SELECT 1 FROM mqtt_msg WHERE topic = '$offline-doctor'")).rows).toEqual([]);
      await client.end();
      expect(reader.lines).toContainEqual(
        expect.stringMatching(/^problem  store: .*permission denied.* → give the user of STORE_URL these rights$/),
      );
      expect(reader.code).toBe(1);
    });
  });
});
