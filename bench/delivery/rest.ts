import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { emqxId } from './ids';

/** What POST /publish takes, as far as it matters here. */
export interface Entry {
  readonly topic: string;
  readonly properties?: { readonly user_properties?: Readonly<Record<string, string>> };
}

export interface Client {
  /** ms */
  readonly connectedAt: number;
}

const NO_SUBSCRIBERS = { reason_code: 16, message: 'no_matching_subscribers' };
const NO_CLIENT = { code: 'CLIENTID_NOT_FOUND', message: 'Client ID not found' };
const NOTHING_HELD = { data: [], meta: { start: 'none', position: 'none' } };
const NODES = [{ node: 'emqx@127.0.0.1', node_status: 'running', version: '5.8.9', uptime: 3_600_000 }];

type Answer = readonly [status: number, body: unknown];

/** EMQX's REST API with nothing behind it: a copy of each message goes to the clients that have subscribed to its very topic. */
export class RestDouble {
  readonly clients = new Map<string, Client>();
  private readonly subscribers = new Map<string, Set<string>>();
  private readonly server: Server;

  constructor(private readonly deliver: (clientid: string, entry: Entry, id: string) => void) {
    this.server = createServer((request, response) => this.read(request, response));
  }

  /** @returns the port. */
  listen(): Promise<number> {
    return new Promise((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(0, '127.0.0.1', () => resolve((this.server.address() as { port: number }).port));
    });
  }

  connect(clientid: string): void {
    this.clients.set(clientid, { connectedAt: Date.now() });
  }

  subscribe(clientid: string, topic: string): void {
    const own = this.subscribers.get(topic);
    if (own === undefined) this.subscribers.set(topic, new Set([clientid]));
    else own.add(clientid);
  }

  forget(): void {
    this.clients.clear();
    this.subscribers.clear();
  }

  private read(request: IncomingMessage, response: ServerResponse): void {
    let body = '';
    request.setEncoding('utf8');
    request.on('data', (text: string) => (body += text));
    request.on('end', () => {
      const path = (request.url ?? '').replace('/api/v5', '').split('?')[0] ?? '';
      const [status, json] = this.answer(`${request.method} ${path}`, body);
      const text = JSON.stringify(json);
      response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
      response.end(text);
    });
  }

  private answer(route: string, body: string): Answer {
    if (route === 'POST /publish/bulk') {
      const results = (JSON.parse(body) as Entry[]).map((entry) => this.publish(entry));
      return [results.every((result) => 'id' in result) ? 200 : 202, results];
    }
    if (route === 'POST /publish') {
      const result = this.publish(JSON.parse(body) as Entry);
      return ['id' in result ? 200 : 202, result];
    }
    if (route === 'GET /nodes') return [200, NODES];
    const [, method, segment = '', rest] = /^(GET|POST) \/clients\/([^/]+)(\/.+)?$/.exec(route) ?? [];
    const clientid = decodeURIComponent(segment);
    const client = this.clients.get(clientid);
    if (method === undefined) return [404, { code: 'NOT_FOUND', message: 'Request Path Not Found' }];
    if (client === undefined) return [404, NO_CLIENT];
    if (method === 'GET') return rest === undefined ? [200, view(clientid, client)] : [200, NOTHING_HELD];
    const entry = JSON.parse(body) as Entry | Entry[];
    for (const { topic } of [entry].flat()) this.subscribe(clientid, topic);
    return [200, entry];
  }

  private publish(entry: Entry): { id: string } | typeof NO_SUBSCRIBERS {
    const own = this.subscribers.get(entry.topic);
    if (own === undefined) return NO_SUBSCRIBERS;
    const id = emqxId();
    for (const clientid of own) this.deliver(clientid, entry, id);
    return { id };
  }
}

/** GET /clients/{clientid}: a clean session that the connection began. */
function view(clientid: string, { connectedAt }: Client): object {
  const at = new Date(connectedAt).toISOString().replace('Z', '+00:00');
  return {
    ...{ clientid, node: 'emqx@127.0.0.1', connected: true, connected_at: at, created_at: at, username: null, proto_ver: 5 },
    ...{ clean_start: true, expiry_interval: 0, is_persistent: false, durable: false, mountpoint: null, subscriptions_cnt: 1 },
    ...{ mqueue_len: 0, mqueue_max: 1_000, mqueue_dropped: 0, inflight_cnt: 0, inflight_max: 32 },
  };
}
