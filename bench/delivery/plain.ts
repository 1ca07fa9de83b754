import { Agent, createServer, request } from 'node:http';
import { emqxId } from './ids';
import { PAYLOAD } from './events';
import type { RemoteDouble } from './remote';

/** An event as a plain server reads it. */
export interface PlainEvent {
  readonly event: string;
  readonly clientid: string;
  readonly topic: string;
}

const ACCEPTED = '{"accepted":1}';

/** The CPU time of this process, in which the plain side runs. Microseconds. */
export function ownCpu(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** The counterpart: a bare node:http server that takes the double's events and stores nothing, and a caller of EMQX's REST API. */
export class PlainServer {
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 32 });
  private readonly server = createServer((incoming, response) => {
    let body = '';
    incoming.setEncoding('utf8');
    incoming.on('data', (text: string) => (body += text));
    incoming.on('end', () => {
      const event = JSON.parse(body) as PlainEvent;
      response.writeHead(202, { 'content-type': 'application/json', 'content-length': ACCEPTED.length });
      response.end(ACCEPTED);
      this.handle(event);
    });
  });

  private constructor(
    private readonly emqxPort: number,
    private readonly handle: (event: PlainEvent) => void,
  ) {}

  /** The double's events go to it while `work` runs. `handle` is given the server and each event. */
  static async with<T>(
    double: RemoteDouble,
    handle: (server: PlainServer, event: PlainEvent) => void,
    work: (server: PlainServer) => Promise<T>,
  ): Promise<T> {
    const plain: PlainServer = new PlainServer(double.port, (event) => handle(plain, event));
    await new Promise<void>((resolve) => plain.server.listen(0, '127.0.0.1', resolve));
    await double.call('aim', (plain.server.address() as { port: number }).port);
    try {
      return await work(plain);
    } finally {
      await double.call('aim', null);
      plain.agent.destroy();
      plain.server.close();
    }
  }

  /** One POST /publish/bulk with a message for each topic. */
  publish(topics: readonly string[]): Promise<void> {
    const body = `[${topics.map(entry).join(',')}]`;
    const headers = {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      authorization: 'Basic YmVuY2g6YmVuY2g=',
    };
    const options = { agent: this.agent, host: '127.0.0.1', port: this.emqxPort, method: 'POST', path: '/api/v5/publish/bulk', headers };
    return new Promise((resolve, reject) => {
      const sent = request(options, (response) => {
        response.resume();
        response.on('end', () =>
          response.statusCode === 200 ? resolve() : reject(new Error(`the double answered ${response.statusCode}`)),
        );
      });
      sent.on('error', reject);
      sent.end(body);
    });
  }
}

/** As long as ours: an id, and something of a signature's length. */
function entry(topic: string): string {
  const properties = { user_properties: { 'offline-msgid': emqxId(), 'offline-sig': 'x'.repeat(43) } };
  return JSON.stringify({ topic, qos: 1, retain: false, payload_encoding: 'base64', payload: PAYLOAD, properties });
}
