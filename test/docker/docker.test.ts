import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SETTING_KEYS } from '../../src/config/schema';
import { DOCKER, ROOT } from './compose';

const package_ = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  readonly license: string;
  readonly repository: { readonly url: string };
  readonly scripts: Readonly<Record<string, string>>;
  readonly files: readonly string[];
};

describe('Dockerfile', () => {
  const text = readFileSync(join(DOCKER, 'Dockerfile'), 'utf8');
  const lines = text
    .replace(/\\\n\s*/g, '')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  const of = (word: string): string[] => lines.filter((line) => line.startsWith(`${word} `)).map((line) => line.slice(word.length + 1));
  const last = lines.slice(lines.findLastIndex((line) => line.startsWith('FROM ')));

  test('has a build stage, and a final stage that does not run as root', () => {
    expect(of('FROM')).toEqual(['node:24-slim AS build', 'node:24-slim']);
    expect(last).toContain('USER node');
    expect(last.slice(last.indexOf('USER node')).some((line) => line.startsWith('RUN '))).toBe(false);
  });

  test('builds with npm ci after copying the sources', () => {
    const build = lines.slice(0, lines.length - last.length);
    const installs = build.findIndex((line) => /^RUN .*npm ci/.test(line));
    expect(build.indexOf('COPY . .')).toBeLessThan(installs);
    expect(package_.scripts['prepare']).toContain('build');
    expect(build[installs]).toContain('npm prune --omit=dev --ignore-scripts');
  });

  test('sets HOST, DATA_DIR and port 8480, and declares no volume', () => {
    const settings = Object.fromEntries(of('ENV').map((line) => line.split('=')));
    expect(settings).toEqual({ NODE_ENV: 'production', HOST: '0.0.0.0', DATA_DIR: '/data' });
    expect(SETTING_KEYS).toEqual(expect.arrayContaining(['HOST', 'DATA_DIR']));
    expect(of('VOLUME')).toEqual([]);
    expect(of('EXPOSE')).toEqual(['8480']);
    expect(last).toContain('RUN install -d -o node -g node -m 0700 /data');
  });

  test('runs the program, and its health check', () => {
    expect([...of('ENTRYPOINT'), ...of('CMD')]).toEqual(['["node", "dist/main.js"]', '["serve"]']);
    expect(of('HEALTHCHECK')).toEqual([expect.stringMatching(/CMD \["node", "docker\/healthcheck\.mjs"\]$/)]);
  });

  test('has the Open Container Initiative labels with values of package.json', () => {
    const labels = Object.fromEntries(of('LABEL').map((line) => /^org\.opencontainers\.image\.(\w+)="(.*)"$/.exec(line)?.slice(1) ?? []));
    const home = package_.repository.url.replace(/^git\+|\.git$/g, '');
    expect(labels).toEqual({
      title: package_.name,
      description: package_.description,
      licenses: package_.license,
      source: home,
      documentation: `${home}/blob/main/docs/install.md`,
      version: '${VERSION}',
      revision: '${REVISION}',
    });
    expect(of('ARG')).toEqual([`VERSION=${package_.version}`, 'REVISION=unknown']);
  });

  test('copies existing files only, and all that the program needs', () => {
    const copied = of('COPY').flatMap((line) =>
      line
        .split(' ')
        .filter((part) => !part.startsWith('--'))
        .slice(0, -1),
    );
    const names = copied.map((path) => path.replace(/^\/app\//, '')).filter((path) => path !== '.');
    for (const name of names)
      if (name !== 'dist' && name !== 'node_modules') expect([name, existsSync(join(ROOT, name))]).toEqual([name, true]);
    const needed = package_.files.filter((name) => name !== 'CHANGELOG.md');
    expect(names).toEqual(expect.arrayContaining([...needed, 'LICENSE', 'node_modules', 'package.json', 'docker/healthcheck.mjs']));
  });

  test('needs no file that Dockerfile.dockerignore excludes', () => {
    const ignored = readFileSync(join(DOCKER, 'Dockerfile.dockerignore'), 'utf8').split('\n');
    expect(ignored).toEqual(expect.arrayContaining(['.git', '**/node_modules', 'dist', '.env*', 'docker/*']));
    expect(ignored.indexOf('!docker/healthcheck.mjs')).toBeGreaterThan(ignored.indexOf('docker/*'));
    for (const needed of [
      ...['src', 'rules', 'migrations', 'openapi.yaml', 'LICENSE', 'package.json', 'package-lock.json'],
      ...['tsconfig.json', 'tsconfig.build.json', 'docker/healthcheck.mjs'],
    ]) {
      expect(ignored).not.toContain(needed);
      expect(existsSync(join(ROOT, needed))).toBe(true);
    }
  });
});
