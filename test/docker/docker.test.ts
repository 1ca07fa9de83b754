import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parse } from 'yaml';
import { ruleDefaults, ruleTemplate } from '../../src/emqx/rules';

const ROOT = resolve(__dirname, '../..');
const DOCKER = join(ROOT, 'docker');

/** The settings table of the contract. */
const SETTINGS = [
  'HOST',
  'PORT',
  'DATA_DIR',
  'STORE_URL',
  'HISTORY_URLS',
  'QUEUE_URL',
  'EMQX_URL',
  'EMQX_API_KEY',
  'EMQX_API_SECRET',
  'INGEST_TOKEN',
  'ADMIN_TOKEN',
  'SIGNING_KEY',
  'POLICIES',
  'CONFIG_FILE',
];

interface Service {
  readonly image?: string;
  readonly build?: { readonly context: string; readonly dockerfile: string };
  readonly environment?: Readonly<Record<string, string>>;
  readonly volumes?: readonly string[];
  readonly ports?: readonly string[];
  readonly command?: readonly string[];
  readonly entrypoint?: readonly string[];
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
}

const compose = parse(readFileSync(join(DOCKER, 'compose.yaml'), 'utf8'), { merge: true }) as {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, null>>;
};

function service(name: string): Service {
  const found = compose.services[name];
  if (found === undefined) throw new Error(`no service ${name}`);
  return found;
}

const environmentOf = (name: string): Readonly<Record<string, string>> => service(name).environment ?? {};

describe('Dockerfile', () => {
  const text = readFileSync(join(DOCKER, 'Dockerfile'), 'utf8');
  const lines = text
    .replace(/\\\n\s*/g, '')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  const of = (word: string): string[] => lines.filter((line) => line.startsWith(`${word} `)).map((line) => line.slice(word.length + 1));
  const last = lines.slice(lines.findLastIndex((line) => line.startsWith('FROM ')));

  test('has a build stage, and a last one that does not run as root', () => {
    expect(of('FROM')).toEqual(['node:20-slim AS build', 'node:20-slim']);
    expect(last).toContain('USER node');
    expect(last.slice(last.indexOf('USER node')).some((line) => line.startsWith('RUN '))).toBe(false);
  });

  test('listens and keeps data where it says', () => {
    const settings = Object.fromEntries(of('ENV').map((line) => line.split('=')));
    expect(settings).toEqual({ NODE_ENV: 'production', HOST: '0.0.0.0', DATA_DIR: '/data' });
    expect(SETTINGS).toEqual(expect.arrayContaining(['HOST', 'DATA_DIR']));
    expect(of('VOLUME')).toEqual(['/data']);
    expect(of('EXPOSE')).toEqual(['8480']);
    expect(last).toContain('RUN install -d -o node -g node -m 0700 /data');
  });

  test('runs the server, and asks it for its health', () => {
    expect(of('CMD')).toEqual(['["node", "dist/main.js", "serve"]']);
    const [healthcheck = ''] = of('HEALTHCHECK');
    const [program, flag, script = ''] = JSON.parse(healthcheck.slice(healthcheck.indexOf('['))) as string[];
    expect([program, flag]).toEqual(['node', '-e']);
    expect(script).toContain('/healthz');
    // With nobody there it fails; a script that does not parse would fail differently.
    const failed = (): unknown => execFileSync('node', ['-e', script], { env: { ...process.env, PORT: '1' }, stdio: 'pipe' });
    expect(failed).toThrow(expect.objectContaining({ status: 1, stderr: Buffer.alloc(0) }));
  });

  test('copies what exists and what dist/ reads beside itself', () => {
    const { files } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { files: string[] };
    const copied = of('COPY').flatMap((line) =>
      line
        .split(' ')
        .filter((part) => !part.startsWith('--'))
        .slice(0, -1),
    );
    const names = copied.map((path) => path.replace(/^\/app\//, '')).filter((path) => path !== '.');
    for (const name of names)
      if (name !== 'dist' && name !== 'node_modules') expect([name, existsSync(join(ROOT, name))]).toEqual([name, true]);
    expect(names).toEqual(expect.arrayContaining([...files, 'node_modules', 'package.json']));
  });

  test('needs nothing that the ignore file keeps out', () => {
    const ignored = readFileSync(join(DOCKER, 'Dockerfile.dockerignore'), 'utf8').split('\n');
    expect(ignored).toEqual(expect.arrayContaining(['.git', 'node_modules', 'dist', '.env*']));
    for (const needed of [
      'src',
      'rules',
      'migrations',
      'openapi.yaml',
      'package.json',
      'package-lock.json',
      'tsconfig.json',
      'tsconfig.build.json',
    ]) {
      expect(ignored).not.toContain(needed);
      expect(existsSync(join(ROOT, needed))).toBe(true);
    }
  });
});

describe('compose.yaml', () => {
  const server = environmentOf('offline-store');

  test('has the versions that were measured', () => {
    expect(service('emqx').image).toBe('emqx/emqx:5.8.9');
    expect(service('postgres').image).toBe('postgres:17');
    expect(service('redis').command?.join(' ')).toBe('redis-server --appendonly yes --maxmemory-policy noeviction');
  });

  test('builds the server from the Dockerfile', () => {
    const { build } = service('offline-store');
    const context = resolve(DOCKER, build?.context ?? '');
    expect(context).toBe(ROOT);
    expect(existsSync(join(context, build?.dockerfile ?? ''))).toBe(true);
  });

  test('gives the server settings that exist, with the tokens that a public address requires', () => {
    for (const key of Object.keys(server)) expect(SETTINGS).toContain(key);
    for (const key of ['INGEST_TOKEN', 'ADMIN_TOKEN', 'EMQX_API_KEY', 'EMQX_API_SECRET']) expect(server[key]).toMatch(/^\S+$/);
  });

  test('names services and their own ports in addresses', () => {
    const ports: Readonly<Record<string, string>> = { emqx: '18083', postgres: '5432', redis: '6379', 'offline-store': '8480' };
    const addresses = [server['STORE_URL'], server['QUEUE_URL'], server['EMQX_URL']];
    const found = addresses.map((address) => new URL(address ?? ''));
    for (const { hostname, port } of found) expect(ports[hostname]).toBe(port);
    expect(found.map(({ hostname }) => hostname)).toEqual(['postgres', 'redis', 'emqx']);
    expect(server['EMQX_URL']).toMatch(/\/api\/v5$/);
  });

  test('gives PostgreSQL the account that the server uses', () => {
    const url = new URL(server['STORE_URL'] ?? '');
    expect(environmentOf('postgres')).toEqual({
      POSTGRES_USER: url.username,
      POSTGRES_PASSWORD: url.password,
      POSTGRES_DB: url.pathname.slice(1),
    });
  });

  test("gives EMQX the server's API key in its bootstrap file", () => {
    const target = environmentOf('emqx')['EMQX_API_KEY__BOOTSTRAP_FILE'];
    const [source = ''] =
      service('emqx')
        .volumes?.find((volume) => volume.split(':')[1] === target)
        ?.split(':') ?? [];
    const lines = readFileSync(resolve(DOCKER, source), 'utf8').trim().split('\n');
    expect(lines).toEqual([`${server['EMQX_API_KEY']}:${server['EMQX_API_SECRET']}`]);
  });

  test('opens ports on this machine only: its secrets are known to everybody', () => {
    const ports = Object.values(compose.services).flatMap((each) => each.ports ?? []);
    expect(ports.sort()).toEqual(['127.0.0.1:18083:18083', '127.0.0.1:1883:1883', '127.0.0.1:8480:8480']);
  });

  test('mounts volumes and files that exist', () => {
    const sources = Object.values(compose.services).flatMap((each) => (each.volumes ?? []).map((volume) => volume.split(':')[0] ?? ''));
    const [files, volumes] = [sources.filter((source) => source.startsWith('.')), sources.filter((source) => !source.startsWith('.'))];
    for (const file of files) expect(existsSync(resolve(DOCKER, file))).toBe(true);
    expect(volumes.sort()).toEqual(Object.keys(compose.volumes).sort());
  });

  test('waits for services that say when they are well', () => {
    for (const each of Object.values(compose.services)) {
      for (const [name, { condition }] of Object.entries(each.depends_on ?? {})) {
        expect(condition).toBe('service_healthy');
        // The server's is in its Dockerfile.
        if (name !== 'offline-store') expect(service(name).healthcheck?.test[0]).toBe('CMD');
      }
    }
    expect(Object.keys(service('import-rule').depends_on ?? {}).sort()).toEqual(['emqx', 'offline-store']);
  });

  test("imports the shipped rule with the server's address and token", () => {
    const { entrypoint = [], command = [] } = service('import-rule');
    expect(environmentOf('import-rule')).toEqual({
      EMQX_API_KEY: server['EMQX_API_KEY'],
      EMQX_API_SECRET: server['EMQX_API_SECRET'],
      INGEST_TOKEN: server['INGEST_TOKEN'],
    });
    expect(service('import-rule').volumes).toEqual(['../rules/emqx5:/rules:ro']);
    const sent = runImport([
      ...entrypoint,
      ...command.map((part) => part.replaceAll('$$', '$').replaceAll('/rules/', `${ROOT}/rules/emqx5/`)),
    ]);
    expect(JSON.parse(sent.body)).toEqual(
      ruleTemplate('offline-messages', { ...ruleDefaults, url: 'http://offline-store:8480', token: server['INGEST_TOKEN'] ?? '' }),
    );
    expect(sent.args).toEqual([
      '-sS',
      '--fail-with-body',
      '-u',
      `${server['EMQX_API_KEY']}:${server['EMQX_API_SECRET']}`,
      '-X',
      'PUT',
      'http://emqx:18083/api/v5/configs?mode=merge',
      '-H',
      'Content-Type: text/plain',
      '--data-binary',
      '@-',
    ]);
  });

  /** Runs the service's command with a curl that prints what it was given. */
  function runImport([program = '', ...args]: readonly string[]): { args: string[]; body: string } {
    const folder = mkdtempSync(join(tmpdir(), 'offline-store-'));
    try {
      writeFileSync(join(folder, 'curl'), `#!/bin/sh\nprintf '%s\\n' "$@" > '${folder}/args'\nexec cat\n`);
      chmodSync(join(folder, 'curl'), 0o755);
      const env = { ...environmentOf('import-rule'), PATH: `${folder}:${process.env['PATH'] ?? ''}` };
      const body = execFileSync(program, args, { env, encoding: 'utf8' });
      return { body, args: readFileSync(join(folder, 'args'), 'utf8').trim().split('\n') };
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
});
