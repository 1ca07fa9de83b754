import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { createSecureContext, TLSSocket } from 'node:tls';
import { parseServiceUrl } from '../../src/config/url';
import { PostgresQueue } from '../../src/lanes/postgres';
import { PostgresStore } from '../../src/stores/postgres';
import { connectionOf } from '../../src/stores/postgres/connection';
import { answeredHealth } from '../support/health';

const fixture = (name: string): string => join(__dirname, '../fixtures/tls', name);
const refusal = 'SFATAL\0C28P01\0Mno such user\0\0';
const ERROR = Buffer.concat([Buffer.from('E'), Buffer.from([0, 0, 0, refusal.length + 4]), Buffer.from(refusal)]);

/** As a managed PostgreSQL with a certificate authority of its own: it speaks TLS, and then lets nobody in. */
class ManagedPostgres {
  private readonly sockets = new Set<Socket>();
  private readonly server: Server;

  constructor() {
    const secureContext = createSecureContext({ cert: readFileSync(fixture('named.pem')), key: readFileSync(fixture('named.key.pem')) });
    this.server = createServer((socket) => {
      this.sockets.add(socket.on('error', () => undefined));
      socket.once('data', () => {
        socket.write('S');
        const secure = new TLSSocket(socket, { isServer: true, secureContext });
        secure.on('error', () => undefined).once('data', () => secure.end(ERROR));
      });
    });
  }

  async start(): Promise<number> {
    await once(this.server.listen(0, '127.0.0.1'), 'listening');
    return (this.server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
    await once(this.server, 'close');
  }
}

describe.each(['STORE_URL', 'QUEUE_URL'])('%s', (setting) => {
  const server = new ManagedPostgres();
  let port: number;
  beforeAll(async () => (port = await server.start()));
  afterAll(() => server.stop());

  async function healthOf(host: string, query: string): Promise<string> {
    const connection = connectionOf(parseServiceUrl(`postgresql://u:hunter2@${host}:${port}/db?${query}`, ['postgres']), setting);
    const opened = setting === 'STORE_URL' ? new PostgresStore(connection) : new PostgresQueue({ connection, onError: () => undefined });
    const { detail } = await answeredHealth(opened);
    await opened.close();
    return detail;
  }

  const ca = `ca=${encodeURIComponent(fixture('named.pem'))}`;
  const untrusted = new RegExp(
    `^${setting}: PostgreSQL's certificate is not trusted \\((?:Error: )?self-signed certificate\\): give the PEM file of its certificate authority as ca=$`,
  );

  // The guard is that the driver's parser does not get the URL: it prints a warning about the meaning of sslmode to stderr.
  it.each(['sslmode=require', 'sslmode=prefer', 'sslmode=verify-ca', 'tls=true'])(
    '%s verifies, says what to give, and prints nothing',
    async (query) => {
      const warnings: unknown[] = [];
      const spies = [
        jest.spyOn(process, 'emitWarning').mockImplementation((warning) => void warnings.push(warning)),
        jest.spyOn(console, 'warn').mockImplementation((text) => void warnings.push(text)),
      ];
      expect(await healthOf('localhost', query)).toMatch(untrusted);
      expect(warnings).toEqual([]);
      for (const spy of spies) spy.mockRestore();
    },
  );

  it.each([ca, `sslmode=require&${ca}`, `sslmode=verify-full&${ca.replace('ca=', 'sslrootcert=')}`])('connects with %s', async (query) => {
    expect(await healthOf('localhost', query)).toBe(`${setting}: PostgreSQL rejected the login (no such user): check user and password`);
  });

  it('says that the certificate is for a name, when the host is written as an address', async () => {
    expect(await healthOf('127.0.0.1', `sslmode=require&${ca}`)).toMatch(
      new RegExp(`^${setting}: PostgreSQL's certificate is for another name .*: write the host as the certificate names it$`),
    );
  });
});
