import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { loadConfig } from '../../src/config/load';
import { Environment } from '../../src/embedded/environment';
import { openHistory } from '../../src/history';
import { parseCommand } from '../../src/cli/parse';
import { rules, rulesOptionsOf } from '../../src/cli/rules';
import { openStore } from '../../src/stores';
import { temporaryDirectory } from '../support/temp';
import { composeWith, DOCKER, parseEnv, ROOT, variables } from './compose';

const EXAMPLE = join(DOCKER, '.env.example');
const PROFILES = [
  ...['embedded', 'redis', 'postgres', 'timescale', 'mysql', 'mariadb', 'mongodb'],
  ...['cassandra', 'clickhouse', 'dynamodb', 'influxdb', 'opentsdb'],
];

/** What the commands in .env.example make of it, with an openssl that counts. */
function filledEnv(): Record<string, string> {
  const { path: folder, remove } = temporaryDirectory();
  try {
    copyFileSync(EXAMPLE, join(folder, '.env.example'));
    writeFileSync(join(folder, 'openssl'), '#!/bin/sh\necho "$*" >> calls\nwc -l < calls | sed "s/^ */secret/"\n');
    chmodSync(join(folder, 'openssl'), 0o755);
    const commands = readFileSync(EXAMPLE, 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('#   '));
    const script = commands.map((line) => line.slice(4)).join('\n');
    execFileSync('sh', ['-euc', script], { cwd: folder, env: { PATH: `${folder}:${process.env['PATH'] ?? ''}` } });
    return parseEnv(readFileSync(join(folder, '.env'), 'utf8'));
  } finally {
    remove();
  }
}

/** What the program understands from a command like `rules --install`. */
function optionsOf([, ...args]: readonly string[]) {
  const given = parseCommand(rules, args);
  if (given === null) throw new TypeError('the help was asked for');
  return rulesOptionsOf(given);
}

describe('.env.example', () => {
  const example = parseEnv(readFileSync(EXAMPLE, 'utf8'));

  test('has each variable of compose.yaml, and no other', () => {
    expect(Object.keys(example).sort()).toEqual([...variables(), 'COMPOSE_PROFILES'].sort());
  });

  test('contains no secret, and compose.yaml does not start without them', () => {
    const empty = Object.keys(example).filter((key) => example[key] === '');
    expect(empty.sort()).toEqual(['ADMIN_TOKEN', 'DATABASE_PASSWORD', 'EMQX_API_SECRET', 'EMQX_DASHBOARD_PASSWORD', 'INGEST_TOKEN']);
    for (const key of empty) expect(() => composeWith({ ...filledEnv(), [key]: '' })).toThrow(`${key}: fill in docker/.env`);
  });

  test('has commands that generate a different value for each secret', () => {
    const filled = filledEnv();
    expect(Object.values(filled)).not.toContain('');
    const secrets = Object.values(filled).filter((value) => value.startsWith('secret'));
    expect([secrets.length, new Set(secrets).size]).toEqual([5, 5]);
  });

  test('is copied to a file that git and the image ignore', () => {
    expect(readFileSync(join(ROOT, '.gitignore'), 'utf8').split('\n')).toContain('.env');
    expect(readFileSync(join(DOCKER, 'Dockerfile.dockerignore'), 'utf8').split('\n')).toContain('docker/*');
  });

  test('names every profile', () => {
    const line = /one of: (.*)/.exec(readFileSync(EXAMPLE, 'utf8'))?.[1];
    expect(line?.split(' ')).toEqual(PROFILES);
    expect(PROFILES).toContain(example['COMPOSE_PROFILES']);
  });
});

describe('compose.yaml', () => {
  const env = filledEnv();
  const compose = composeWith(env);
  const services = Object.entries(compose.services);
  /** Those that `docker compose up` starts. */
  const inProfile = (profile: string) => services.filter(([, { profiles = [profile] }]) => profiles.includes(profile));
  const serverOf = (profile: string) => {
    const [server, ...more] = inProfile(profile).filter(([, { networks }]) => networks?.default.aliases.includes('offline-store'));
    if (server === undefined || more.length > 0) throw new Error(`not one server for ${profile}`);
    return server[1];
  };

  test('has one profile for each database', () => {
    expect([...new Set(services.flatMap(([, { profiles = [] }]) => profiles))].sort()).toEqual([...PROFILES].sort());
    expect(services.filter(([, { profiles }]) => profiles === undefined).map(([name]) => name)).toEqual(['emqx', 'rules']);
  });

  test.each(PROFILES)('has valid server settings in the profile %s, with addresses of its services', async (profile) => {
    const { environment = {}, depends_on = {} } = serverOf(profile);
    const config = loadConfig({ HOST: '0.0.0.0', ...environment });
    expect(config.emqx.credentials).toEqual({ apiKey: 'offline-store', apiSecret: env['EMQX_API_SECRET'] });
    const hosts = [config.store, config.queue, ...config.history].flatMap((url) => [
      ...url.hosts.map(({ host }) => host),
      ...(url.params['endpoint'] === undefined ? [] : [new URL(url.params['endpoint']).hostname]),
    ]);
    const databases = [...new Set(hosts)].filter((host) => host !== 'local');
    expect(databases).toEqual(profile === 'embedded' ? [] : [profile]);
    for (const host of databases) expect(inProfile(profile).map(([name]) => name)).toContain(host);
    expect(Object.keys(depends_on).map((name) => name.replace('-keyspace', ''))).toEqual(databases);
    // A driver refuses what it does not know in the URL.
    const directory = temporaryDirectory();
    const environmentOfStore = await Environment.open(directory.path);
    try {
      await openStore(config.store, environmentOfStore).then((store) => store.close());
      for (const sink of await openHistory(config.history)) await sink.close();
    } finally {
      await environmentOfStore.close();
      directory.remove();
    }
  });

  test.each(PROFILES)('has the volume /data in the profile %s only for an embedded store or queue', (profile) => {
    const { environment = {}, volumes = [] } = serverOf(profile);
    const { store, queue } = loadConfig({ HOST: '0.0.0.0', ...environment });
    const isEmbedded = [store.scheme, queue.scheme].includes('embedded');
    expect(volumes).toEqual(isEmbedded ? ['data:/data'] : []);
  });

  test("gives each database the account that the server's URL names", () => {
    for (const profile of PROFILES) {
      const { environment = {} } = serverOf(profile);
      const { store, queue, history } = loadConfig({ HOST: '0.0.0.0', ...environment });
      const { environment: given = {}, command = [] } = compose.services[profile] ?? {};
      const values = [...Object.values(given), ...command];
      for (const { user, password, path, scheme } of [store, queue, ...history]) {
        if (password === null || scheme === 'dynamodb') continue;
        expect([profile, password]).toEqual([profile, env['DATABASE_PASSWORD']]);
        // Redis has a password for everybody.
        expect(values).toEqual(expect.arrayContaining(profile === 'redis' ? [password] : [password, user]));
        // Redis has numbers in place of databases, and MongoDB makes them when they are used.
        if (path !== '' && profile !== 'redis' && profile !== 'mongodb') expect(values).toContain(path);
      }
    }
  });

  test('pins the version of each image, and EMQX to 5.8.9', () => {
    for (const [name, { image = '', build }] of services) {
      if (build === undefined) expect([name, image]).toEqual([name, expect.stringMatching(/^[a-z/-]+:v?\d+\.\d+(\.\d+)?(-pg\d+)?$/)]);
      else expect([name, image, resolve(DOCKER, build.context)]).toEqual([name, 'emqx-offline-store', ROOT]);
      if (build !== undefined) expect(existsSync(join(ROOT, build.dockerfile))).toBe(true);
    }
    expect(compose.services['emqx']?.image).toBe('emqx/emqx:5.8.9');
  });

  test('restarts services, and checks the health of running ones', () => {
    const once = ['rules', 'cassandra-keyspace'];
    for (const [name, { restart, healthcheck, networks }] of services) {
      expect([name, restart]).toEqual([name, once.includes(name) ? expect.stringMatching(/^on-failure:\d+$/) : 'unless-stopped']);
      // The server's is in its Dockerfile.
      if (!once.includes(name) && networks === undefined) expect([name, healthcheck?.test?.[0]]).toEqual([name, 'CMD']);
    }
    expect(compose.services['rules']?.healthcheck).toEqual({ disable: true });
  });

  test('waits for services with a health check', () => {
    for (const [name, { depends_on = {} }] of services) {
      for (const [other, { condition }] of Object.entries(depends_on)) {
        expect([name, condition]).toEqual([name, other.endsWith('-keyspace') ? 'service_completed_successfully' : 'service_healthy']);
        expect(compose.services[other]).toBeDefined();
      }
    }
  });

  test('opens ports on the local address only, unless BIND_ADDRESS is set', () => {
    const ports = (with_: Record<string, string>) => [
      ...new Set(Object.values(composeWith(with_).services).flatMap(({ ports: own = [] }) => own)),
    ];
    expect(ports(env).sort()).toEqual(['127.0.0.1:18083:18083', '127.0.0.1:1883:1883', '127.0.0.1:8480:8480']);
    expect(ports({ ...env, BIND_ADDRESS: '' }).every((port) => port.startsWith('127.0.0.1:'))).toBe(true);
    expect(ports({ ...env, BIND_ADDRESS: '0.0.0.0' }).every((port) => port.startsWith('0.0.0.0:'))).toBe(true);
  });

  test('declares exactly the volumes that its services mount', () => {
    const used = services.flatMap(([, { volumes = [] }]) => volumes.map((volume) => volume.split(':')[0] ?? ''));
    expect([...new Set(used)].sort()).toEqual(Object.keys(compose.volumes).sort());
  });

  test("gives EMQX the server's API key in its bootstrap file", () => {
    const { environment = {}, configs = [] } = compose.services['emqx'] as never as {
      environment?: Record<string, string>;
      configs?: { source: string; target: string }[];
    };
    const config = configs.find(({ target }) => target === environment['EMQX_API_KEY__BOOTSTRAP_FILE']);
    expect(compose.configs[config?.source ?? '']?.content).toBe(`offline-store:${env['EMQX_API_SECRET']}`);
  });

  test('installs the rule with the address of the server, its settings and the topic of .env', () => {
    const { command = [], environment } = compose.services['rules'] ?? {};
    expect(command[0]).toBe('rules');
    expect(optionsOf(command)).toMatchObject({
      ...{ action: 'install', yes: true, urls: ['http://offline-store:8480'], topics: ['t/#'] },
    });
    const { STORE_URL, QUEUE_URL, ...others } = serverOf('embedded').environment ?? {};
    expect([STORE_URL, QUEUE_URL]).toEqual(['embedded:', 'embedded:']);
    expect(environment).toEqual(others);
    expect(optionsOf(composeWith({ ...env, RULE_TOPIC: 'a/+' }).services['rules']?.command ?? []).topics).toEqual(['a/+']);
  });
});
