import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly authorization: string | undefined;
  readonly body: string;
}

type Answer = readonly [status: number, body?: unknown];

/** An HTTP server for answers that no server of the tests gives: it says them word for word, and notes what it was asked. */
export class Stub {
  readonly asked: Asked[] = [];

  private constructor(private readonly server: Server) {}

  static async start(answer: (asked: Asked) => Answer): Promise<Stub> {
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const { method = '', url: path = '', headers } = request;
        const asked = { method, path, authorization: headers.authorization, body: Buffer.concat(chunks).toString() };
        stub.asked.push(asked);
        const [status, body] = answer(asked);
        response.writeHead(status).end(body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body));
      });
    });
    const stub = new Stub(server);
    // unref: a test that fails before it closes its stub must not keep jest from ending.
    await once(server.unref().listen(0, '127.0.0.1'), 'listening');
    return stub;
  }

  get host(): string {
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }
}
