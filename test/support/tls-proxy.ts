import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { createServer, type Server } from 'node:tls';
import { certificatesFor } from '../services/certificates';
import { join } from './join';
import { temporaryDirectory } from './temp';

/** TLS in front of a real server that has none, with the certificate that all test servers share (signed by caFile()). */
export class TlsProxy {
  private readonly sockets = new Set<Socket>();

  private constructor(private readonly server: Server) {}

  static async to(host: string, port: number): Promise<TlsProxy> {
    const directory = temporaryDirectory();
    const { certificate, key } = certificatesFor(directory.path);
    const server = createServer({ cert: readFileSync(certificate), key: readFileSync(key) });
    directory.remove();
    const proxy = new TlsProxy(server);
    server.on('secureConnection', (socket) => join(socket, connect(port, host), proxy.sockets));
    // A client that doesn't trust the certificate leaves.
    server.on('tlsClientError', () => undefined);
    await once(server.listen(0, '127.0.0.1'), 'listening');
    return proxy;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
    await once(this.server, 'close');
  }
}
