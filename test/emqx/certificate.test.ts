import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { ConfigError, loadConfig } from '../../src/config/load';
import { clientOf } from './client';
import { Stub } from './stub';

const fixture = (name: string): string => join(__dirname, '../fixtures/tls', name);
/** For the name localhost, not for its address; signed by itself. */
const CA = readFileSync(fixture('named.pem'), 'utf8');
const NODES = JSON.stringify([{ node: 'emqx@127.0.0.1', version: '5.8.9', node_status: 'running' }]);

describe("EMQX's HTTPS listener with its own certificate authority", () => {
  let server: Server;
  let port: number;
  beforeAll(async () => {
    server = createServer({ cert: CA, key: readFileSync(fixture('named.key.pem')) }, (_request, response) => response.end(NODES));
    await once(server.listen(0, '127.0.0.1'), 'listening');
    port = (server.address() as AddressInfo).port;
  });
  afterAll(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });

  async function healthOf(host: string, ca: string | null): Promise<{ ok: boolean; detail: string }> {
    const { emqx } = clientOf(`https://${host}:${port}/api/v5`, { ca });
    const health = await emqx.health();
    await emqx.close();
    return health;
  }

  it('is trusted with EMQX_CA_FILE', async () => {
    expect(await healthOf('localhost', CA)).toEqual({ ok: true, detail: 'EMQX 5.8.9' });
  });

  it('is not trusted without EMQX_CA_FILE', async () => {
    expect(await healthOf('localhost', null)).toEqual({
      ok: false,
      detail: `EMQX_URL: the certificate of https://localhost:${port}/api/v5 is not trusted (DEPTH_ZERO_SELF_SIGNED_CERT): set EMQX_CA_FILE to the PEM file of the authority that signed it`,
    });
  });

  it('is not trusted under a name that its certificate does not contain', async () => {
    const { ok, detail } = await healthOf('127.0.0.1', CA);
    expect(ok).toBe(false);
    expect(detail).toMatch(
      /^EMQX_URL: the certificate of https:\/\/127\.0\.0\.1:\d+\/api\/v5 is for another name \(.*127\.0\.0\.1.*\): write a name in EMQX_URL that the certificate has$/,
    );
  });
});

it('an https:// EMQX_URL to a listener without TLS is reported with the right port', async () => {
  const stub = await Stub.start({ status: 200 });
  const { emqx } = clientOf(stub.url.replace('http:', 'https:'));
  expect((await emqx.health()).detail).toMatch(
    /^EMQX_URL: https:.* speaks no TLS \(\w+\): write http:\/\/, or the port of EMQX's HTTPS listener \(18084\)$/,
  );
  await emqx.close();
  await stub.stop();
});

describe('EMQX_CA_FILE', () => {
  const https = { EMQX_URL: 'https://emqx:18084/api/v5' };

  it('is read at start, from the environment or CONFIG_FILE', () => {
    expect(loadConfig({ ...https, EMQX_CA_FILE: fixture('named.pem') }).emqx.ca).toBe(CA);
    const files: Record<string, string> = { 'x.yaml': `EMQX_CA_FILE: ca.pem\nEMQX_URL: ${https.EMQX_URL}`, 'ca.pem': CA };
    expect(loadConfig({ CONFIG_FILE: 'x.yaml' }, (path) => files[path] ?? '').emqx.ca).toBe(CA);
    expect(loadConfig(https).emqx.ca).toBeNull();
  });

  it.each([
    [{ ...https, EMQX_CA_FILE: '/absent.pem' }, /^EMQX_CA_FILE: cannot read \/absent\.pem: ENOENT$/],
    [{ ...https, EMQX_CA_FILE: __filename }, /^EMQX_CA_FILE: .* holds no certificate in PEM$/],
    [{ EMQX_CA_FILE: fixture('named.pem') }, /^EMQX_CA_FILE: is for an https:\/\/ EMQX_URL only$/],
  ])('is rejected in %j', (env, message) => {
    expect(() => loadConfig(env)).toThrow(ConfigError);
    expect(() => loadConfig(env)).toThrow(message);
  });
});
