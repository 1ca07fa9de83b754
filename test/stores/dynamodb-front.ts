import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text as readText } from 'node:stream/consumers';

/** DynamoDB's bodies, as far as tests look at them. */
export interface Body {
  readonly TableName?: string;
  readonly RequestItems?: Record<string, unknown> | undefined;
  readonly UnprocessedItems?: Record<string, unknown> | undefined;
  readonly ScannedCount?: number;
  readonly Responses?: Record<string, unknown[]>;
  readonly Item?: unknown;
}

export interface Exchange {
  /** Such as "Query". */
  readonly operation: string;
  readonly input: Body;
  readonly output: Body;
}

type Forward = (input: Body) => Promise<Body>;

/** An HTTP server before DynamoDB's that sees all requests, and may answer some itself. An error of `answer` is an HTTP status 500. */
export class Front {
  exchanges: Exchange[] = [];
  answer: (operation: string, input: Body, forward: Forward) => Promise<Body> = (_, input, forward) => forward(input);

  private constructor(
    private readonly server: Server,
    private readonly target: string,
  ) {
    server.on('request', (request: IncomingMessage, response) => {
      void this.exchange(request).then(({ status, body }) => {
        response.writeHead(status, { 'content-type': 'application/x-amz-json-1.0' }).end(body);
      });
    });
  }

  static async to(target: string): Promise<Front> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new Front(server, target);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  reset(): void {
    this.exchanges = [];
  }

  /** Items that were read, in whatever way. */
  get read(): number {
    return this.exchanges.reduce((sum, { output }) => {
      const batch = Object.values(output.Responses ?? {}).reduce((count, { length }) => count + length, 0);
      return sum + (output.ScannedCount ?? 0) + batch + (output.Item === undefined ? 0 : 1);
    }, 0);
  }

  /** How many requests of each operation. */
  get counts(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { operation } of this.exchanges) counts[operation] = (counts[operation] ?? 0) + 1;
    return counts;
  }

  private async exchange(request: IncomingMessage): Promise<{ status: number; body: string }> {
    const input = JSON.parse(await readText(request)) as Body;
    const headers = ['x-amz-target', 'content-type', 'authorization'].map((name): [string, string] => [
      name,
      String(request.headers[name]),
    ]);
    const operation = headers[0]?.[1].split('.')[1] ?? '';
    let refusal: { status: number; body: string } | null = null;
    const forward: Forward = async (body) => {
      const answer = await fetch(this.target, { method: 'POST', headers, body: JSON.stringify(body) });
      const text = await answer.text();
      if (!answer.ok) refusal = { status: answer.status, body: text };
      return JSON.parse(text) as Body;
    };
    try {
      const output = await this.answer(operation, input, forward);
      this.exchanges.push({ operation, input, output });
      return refusal ?? { status: 200, body: JSON.stringify(output) };
    } catch {
      return { status: 500, body: '{}' };
    }
  }

  async close(): Promise<void> {
    this.server.close();
    this.server.closeAllConnections();
    await once(this.server, 'close');
  }
}
