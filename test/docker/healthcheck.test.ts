import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createLogger } from '../../src/base/log';
import { createListener } from '../../src/door/listener';
import { Fakes } from '../http/fakes';
import { freePort } from '../support/process';
import { temporaryDirectory } from '../support/temp';
import { DOCKER, ROOT } from './compose';

const tlsFile = (name: string) => join(ROOT, 'test/fixtures/tls', name);
const TLS_FILES = { TLS_CERT_FILE: tlsFile('cert.pem'), TLS_KEY_FILE: tlsFile('key.pem') };

/** Runs the script as the container does. */
async function check(environment: Record<string, string>): Promise<{ code: number | null; said: string }> {
  const child = spawn(process.execPath, [join(DOCKER, 'healthcheck.mjs')], { env: environment, stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (data: Buffer) => (said += data.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, said };
}

describe("the container's health check", () => {
  const servers: Server[] = [];
  const listen = async (server: Server, host: string) => {
    servers.push(server);
    await once(server.listen(0, host), 'listening');
    return String((server.address() as AddressInfo).port);
  };
  /** The server's own listener. */
  const serve = (host: string, { withTls = false } = {}) => {
    const [cert = '', key = ''] = Object.values(TLS_FILES).map((file) => readFileSync(file, 'utf8'));
    const options = { tls: withTls ? { cert, key } : null, log: createLogger({ level: 'silent' }) };
    return listen(createListener(new Fakes().app(), options), host);
  };
  afterEach(() => servers.splice(0).forEach((server) => server.close()));

  it.each([
    ['HOST=127.0.0.1', '127.0.0.1'],
    ['HOST=0.0.0.0', '0.0.0.0'],
  ])('finds a server with %s', async (_name, HOST) => {
    const PORT = await serve(HOST);
    expect(await check({ HOST, PORT })).toEqual({ code: 0, said: '' });
  });

  it('connects to the address in HOST', async () => {
    const PORT = await serve('127.0.0.2');
    expect(await check({ HOST: '127.0.0.2', PORT })).toEqual({ code: 0, said: '' });
    expect((await check({ PORT })).said).toContain(`127.0.0.1:${PORT}`);
  });

  it.each(['::', '[::]', '::1', '[::1]'])('connects to ::1 with HOST=%s', async (HOST) => {
    const PORT = String(await freePort());
    expect(await check({ HOST, PORT })).toEqual({ code: 1, said: expect.stringContaining(`::1:${PORT}`) as string });
  });

  it('uses HTTPS with TLS settings, for any name in the certificate', async () => {
    const PORT = await serve('0.0.0.0', { withTls: true });
    expect(await check({ HOST: '0.0.0.0', PORT, ...TLS_FILES })).toEqual({ code: 0, said: '' });
    expect((await check({ HOST: '0.0.0.0', PORT })).code).toBe(1);
  });

  it('reads CONFIG_FILE, and the environment takes precedence', async () => {
    const directory = temporaryDirectory();
    try {
      const PORT = await serve('127.0.0.1', { withTls: true });
      const CONFIG_FILE = join(directory.path, 'settings.yaml');
      writeFileSync(CONFIG_FILE, `HOST: 0.0.0.0\nPORT: ${PORT}\nTLS_CERT_FILE: ${TLS_FILES.TLS_CERT_FILE}\n`);
      expect(await check({ CONFIG_FILE, HOST: '' })).toEqual({ code: 0, said: '' });
      const other = String(await freePort());
      expect((await check({ CONFIG_FILE, PORT: other })).said).toContain(`127.0.0.1:${other}`);
    } finally {
      directory.remove();
    }
  });

  it('fails on another status and without an answer', async () => {
    const unwell = await listen(
      createServer((_request, response) => response.writeHead(503).end()),
      '127.0.0.1',
    );
    expect(await check({ PORT: unwell })).toEqual({ code: 1, said: '/healthz answers 503\n' });
    const silent = await listen(createServer(), '127.0.0.1');
    expect(await check({ PORT: silent })).toEqual({ code: 1, said: '/healthz does not answer within 3000 ms\n' });
    servers.forEach((server) => server.closeAllConnections());
  });
});
