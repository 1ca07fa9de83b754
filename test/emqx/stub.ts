import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly authorization: string | undefined;
  readonly contentType: string | undefined;
  readonly text: string;
  readonly json: unknown;
}

/** `hang`: never answered; `reset`: the connection is cut after the request was read. */
export type Answer =
  | { readonly status: number; readonly body?: unknown }
  | 'hang'
  | 'reset'
  | ((request: SeenRequest) => { readonly status: number; readonly body?: unknown });

/** An EMQX made of a script: each request takes the next answer; what comes after the script takes the last one again. */
export class Stub {
  readonly seen: SeenRequest[] = [];
  connections = 0;
  private readonly waiting: { count: number; resolve: () => void }[] = [];

  private constructor(
    private readonly server: Server,
    private script: Answer[],
  ) {
    server.on('connection', () => this.connections++);
    server.on('request', (request: IncomingMessage, response: ServerResponse) => void this.handle(request, response));
  }

  static async start(...script: Answer[]): Promise<Stub> {
    // As EMQX: Node's own 5 s are about as long as fetch() keeps an idle connection, and a request could meet its end.
    const server = createServer({ keepAliveTimeout: 60_000 });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new Stub(server, script);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/api/v5`;
  }

  /** Until this many requests have been read. */
  received(count: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.seen.length >= count) resolve();
      else this.waiting.push({ count, resolve });
    });
  }

  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    this.server.closeAllConnections();
    await closed;
  }

  private async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString('utf8');
    const seen: SeenRequest = {
      method: request.method ?? '',
      path: request.url ?? '',
      authorization: request.headers.authorization,
      contentType: request.headers['content-type'],
      text,
      json: text === '' ? null : JSON.parse(text),
    };
    this.seen.push(seen);
    this.waiting.filter(({ count }) => this.seen.length >= count).forEach(({ resolve }) => resolve());
    const next = (this.script.length > 1 ? this.script.shift() : this.script[0]) ?? { status: 500 };
    if (next === 'hang') return;
    if (next === 'reset') return void request.socket.destroy();
    const { status, body } = typeof next === 'function' ? next(seen) : next;
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body));
  }
}
