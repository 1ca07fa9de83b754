import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { publishEvent } from '../support/events';
import { freePort } from '../support/process';
import { temporaryDirectory } from '../support/temp';
import { waitFor } from '../support/wait';

const ROOT = resolve(__dirname, '../..');
/** Everything that git would have in a clone and that `npm run build` reads. */
const LEFT_OUT = ['.git', 'node_modules', 'dist', 'data', 'coverage', 'docs', 'bench'];
/** npm asks its registry, again if a download fails. Where it can't be reached npm gives up after this time, and its error says so. */
const NPM_MS = 240_000;

const runFile = promisify(execFile);
const npm = (cwd: string, ...args: string[]) => {
  const env = {
    ...process.env,
    npm_config_fetch_retries: '4',
    npm_config_fetch_retry_mintimeout: '1000',
    npm_config_fetch_timeout: '30000',
    npm_config_update_notifier: 'false',
  };
  return runFile('npm', args, { cwd, env, timeout: NPM_MS, killSignal: 'SIGKILL', maxBuffer: 16_000_000 });
};

/**
 * `npm pack` in a copy of the clone, because it builds: `dist/` of the clone itself may be in use by another test. Then the tarball is
 * installed as an operator does it.
 */
describe('the npm tarball', () => {
  const directory = temporaryDirectory();
  const [clone, empty] = [join(directory.path, 'clone'), join(directory.path, 'empty')];
  let packed: { filename: string; files: { path: string }[] };
  let server: ChildProcess | null = null;

  beforeAll(async () => {
    mkdirSync(clone);
    for (const name of readdirSync(ROOT)) if (!LEFT_OUT.includes(name)) cpSync(join(ROOT, name), join(clone, name), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules'), join(clone, 'node_modules'));
    const { stdout } = await npm(clone, 'pack', '--json', '--silent', '--pack-destination', directory.path);
    // What the script `prepare` prints comes before it.
    packed = (JSON.parse(stdout.slice(stdout.indexOf('[\n'))) as [typeof packed])[0];
    mkdirSync(empty);
    writeFileSync(join(empty, 'package.json'), '{"private":true}');
    const options = ['--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error'];
    await npm(empty, 'install', ...options, join(directory.path, packed.filename));
  }, 2 * NPM_MS);

  afterAll(async () => {
    if (server !== null && server.exitCode === null) {
      server.kill('SIGKILL');
      await once(server, 'exit');
    }
    directory.remove();
  });

  it('contains exactly the "files" of package.json and the licence', () => {
    const { files, main = null } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { files: string[]; main?: string };
    expect(main).toBeNull();
    const paths = packed.files.map(({ path }) => path);
    // npm adds these three by itself.
    const allowed = [...files, 'package.json', 'README.md', 'LICENSE'];
    expect(paths.filter((path) => !allowed.some((name) => path === name || path.startsWith(`${name}/`)))).toEqual([]);
    expect(paths).toEqual(
      expect.arrayContaining([
        ...['LICENSE', 'README.md', 'CHANGELOG.md', 'openapi.yaml', 'dist/main.js'],
        ...['migrations/postgres/001_messages.sql', 'rules/emqx5/offline-messages.json', 'rules/emqx4/offline-messages.json'],
      ]),
    );
    expect(paths.filter((path) => /(^|\/)(src|test)\/|\.test\.|\.ts$/.test(path))).toEqual([]);
  });

  it('has each file of migrations/ and rules/', () => {
    for (const folder of ['migrations', 'rules']) {
      const there = readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).filter((name) => /\.\w+$/.test(name));
      expect(there.length).toBeGreaterThan(0);
      for (const name of there)
        expect([name, existsSync(join(empty, 'node_modules/emqx-offline-store', folder, name))]).toEqual([name, true]);
    }
  });

  it('runs as a program in an empty folder', async () => {
    const { stdout } = await npm(empty, 'exec', '--no', '--', 'emqx-offline-store', 'rules', '--url', 'http://store.example:8480');
    expect(JSON.parse(stdout)).toMatchObject({ connectors: { http: { offline_store: { url: 'http://store.example:8480' } } } });
  });

  it('runs as a server that stores an event and shows the message', async () => {
    const port = await freePort();
    const [url, program] = [`http://127.0.0.1:${port}`, join(empty, 'node_modules/.bin/emqx-offline-store')];
    const env = { PATH: process.env['PATH'] ?? '', PORT: String(port) };
    const running = spawn(program, ['serve'], { cwd: empty, env, stdio: ['ignore', 'pipe', 'pipe'] });
    server = running;
    let output = '';
    for (const stream of [running.stdout, running.stderr]) stream.on('data', (data: Buffer) => (output += data.toString()));
    await waitFor('/healthz', async () => {
      if (running.exitCode !== null) throw new Error(`the server exited with ${running.exitCode}:\n${output}`);
      const answer = await fetch(`${url}/healthz`).catch(() => null);
      return answer?.status === 200;
    });
    expect(output).toContain(`  node node_modules/emqx-offline-store/dist/main.js rules --install --url ${url}\n`);

    const headers = { 'content-type': 'application/json' };
    // 503 until the queue is open.
    await waitFor('an event to be accepted', async () => {
      const body = JSON.stringify(publishEvent({ topic: 'packed/1', id: 'PACKED' }));
      return (await fetch(`${url}/v1/events`, { method: 'POST', headers, body })).status === 202;
    });
    await waitFor('the message', async () => {
      const { messages } = (await (await fetch(`${url}/v1/messages?topic=packed/1`)).json()) as { messages: { id: string }[] };
      return messages.some(({ id }) => id === 'PACKED');
    });
    running.kill('SIGTERM');
    const [code] = (await once(running, 'exit')) as [number | null];
    expect(code).toBe(0);
  });
});
