import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { Server } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { contract } from '../../src/contract/contract';
import { createListener, type ListenerOptions } from '../../src/door/listener';
import { createLogger } from '../../src/base/log';
import { publishBody } from '../events/bodies';
import { waitFor } from '../support/wait';
import { Fakes } from './fakes';

const tls = (name: string) => readFileSync(join(__dirname, '../fixtures/tls', name), 'utf8');
const TLS = { cert: tls('cert.pem'), key: tls('key.pem') };

interface Answer {
  readonly status: number;
  readonly head: string;
  readonly body: Record<string, unknown>;
}

/** The listener on a real socket: what happens before a request is one. */
describe('the HTTP listener', () => {
  const fakes = new Fakes();
  let server: Server;
  const sockets: Socket[] = [];

  const listen = async (options: Partial<ListenerOptions> = {}, bodyLimit = 4_096) => {
    const log = createLogger({ level: 'silent' });
    server = createListener(fakes.app({ ingestToken: 'the-token', bodyLimit }), { tls: null, log, ...options });
    await once(server.listen(0, '127.0.0.1'), 'listening');
  };
  const port = () => (server.address() as AddressInfo).port;
  const dial = async () => {
    const socket = connect(port(), '127.0.0.1');
    sockets.push(socket);
    // What is refused is cut while it is still being sent.
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    return socket;
  };
  /** Sends, and reads until the server closes. */
  const exchange = async (...parts: (string | Buffer)[]): Promise<Answer> => {
    const socket = await dial();
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    for (const part of parts) socket.write(part);
    await once(socket, 'close');
    const [head = '', body = ''] = text.split('\r\n\r\n');
    return { status: Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1]), head, body: JSON.parse(body) as Record<string, unknown> };
  };
  const expectAnswer = ({ status, head, body }: Answer, expected: number, kind: string) => {
    expect([status, body['status'], body['type']]).toEqual([expected, expected, `/problems/${kind}`]);
    expect(contract.validator('#/components/schemas/Problem')(body)).toEqual([]);
    expect(head).toMatch(/content-type: application\/problem\+json/i);
    if (expected === 503) expect(head).toMatch(/retry-after: [1-9]/i);
  };
  const POST = 'POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer the-token\r\nContent-Type: application/json\r\n';

  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    expect([fakes.accepted.splice(0), fakes.recorded.splice(0)]).toEqual([[], []]);
  });

  it('answers headers over the limit with 431', async () => {
    await listen({ limits: { headerBytes: 2_048 } });
    expectAnswer(await exchange(`${POST}X-Much: ${'x'.repeat(3_000)}\r\n\r\n`), 431, 'headers-too-large');
    expectAnswer(await exchange(`GET /${'x'.repeat(3_000)} HTTP/1.1\r\nHost: x\r\n\r\n`), 431, 'headers-too-large');
  });

  it.each([
    '\x16\x03\x01\x02\x00\x01\x00',
    'GARBAGE\r\n\r\n',
    `${POST}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n`,
    `${POST}Content-Length: -1\r\n\r\n`,
  ])('answers invalid HTTP with 400: %j', async (text) => {
    await listen();
    expectAnswer(await exchange(text), 400, 'malformed');
  });

  it('answers a body over the limit with 413 and closes the connection', async () => {
    await listen();
    expectAnswer(await exchange(`${POST}Connection: close\r\nContent-Length: 10000\r\n\r\n`, Buffer.alloc(10_000, 'x')), 413, 'too-large');
    // These are not read to their end.
    expectAnswer(await exchange(`${POST}Content-Length: 1000000\r\n\r\n`, Buffer.alloc(100_000, 'x')), 413, 'too-large');
    expectAnswer(
      await exchange(`${POST}Transfer-Encoding: chunked\r\n\r\n186a0\r\n`, Buffer.alloc(100_000, 'x'), '\r\n'),
      413,
      'too-large',
    );
    // Of what was read its beginning is kept.
    expect(fakes.recorded.splice(0).map(({ event }) => String(event).slice(0, 3))).toEqual(['xxx', '', 'xxx']);
  });

  // 503 and not 408: EMQX would lose the event. The guard is the clientError listener: Node's own answer is a 408 without a body.
  it('answers slow headers, slow bodies and silent connections with 503', async () => {
    await listen({ limits: { headersMs: 200, requestMs: 300, checkMs: 50 } });
    const began = Date.now();
    expectAnswer(await exchange('POST /v1/events HTTP/1.1\r\nHost:'), 503, 'unavailable');
    expectAnswer(await exchange(`${POST}Content-Length: 100\r\n\r\n{"event":`), 503, 'unavailable');
    expectAnswer(await exchange(), 503, 'unavailable');
    // The limits of a server without these options are 15 s and more.
    expect(Date.now() - began).toBeLessThan(12_000);
  });

  it('closes idle connections', async () => {
    await listen({ limits: { idleMs: 200 } });
    const idle = await dial();
    const closed = once(idle.resume(), 'close');
    idle.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
    await closed;
  });

  it('closes connections over the limit at once', async () => {
    await listen({ limits: { connections: 3 } });
    const [first] = await Promise.all([dial(), dial(), dial()]);
    const over = await dial();
    await once(over.resume(), 'close');
    first.destroy();
    // Not by fetch: its request may never end if the server closes the connection before it.
    await waitFor('room', () => new Promise((resolve) => server.getConnections((_, count) => resolve(count < 3))));
    expect((await fetch(`http://127.0.0.1:${port()}/healthz`)).status).toBe(200);
  });

  it('accepts only TLS 1.2 and later when TLS is configured', async () => {
    await listen({ tls: TLS });
    const ask = (options: object) =>
      new Promise<number>((resolve, reject) => {
        const request = httpsRequest({ host: 'localhost', port: port(), path: '/healthz', ca: TLS.cert, ...options }, (response) =>
          resolve(response.resume().statusCode ?? 0),
        );
        request.on('error', reject).end();
      });
    expect(await ask({})).toBe(200);
    await expect(ask({ maxVersion: 'TLSv1.1', minVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' })).rejects.toThrow();
    await expect(fetch(`http://127.0.0.1:${port()}/healthz`)).rejects.toThrow();
    expect(await ask({})).toBe(200);
  });

  it('answers bodies that are nested too deeply with 400', async () => {
    await listen({}, 1_000_000);
    for (const deep of [
      '['.repeat(33) + ']'.repeat(33),
      '['.repeat(400_000) + ']'.repeat(400_000),
      `${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}`,
    ]) {
      const answer = await exchange(`${POST}Connection: close\r\nContent-Length: ${deep.length}\r\n\r\n${deep}`);
      expectAnswer(answer, 400, 'malformed');
      expect(answer.body['detail']).toMatch(/32 levels/);
    }
    fakes.recorded.splice(0);
    const body = JSON.stringify(publishBody({ extra: JSON.parse('['.repeat(30) + ']'.repeat(30)) as unknown }));
    const headers = { authorization: 'Bearer the-token', 'content-type': 'application/json' };
    expect((await fetch(`http://127.0.0.1:${port()}/v1/events`, { method: 'POST', headers, body })).status).toBe(202);
    fakes.accepted.splice(0);
  });
});
