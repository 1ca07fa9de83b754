import { answerClients } from './clients';
import { answerV4, type RestV4Deps } from './rest-v4';
import { answerRetainer } from './retainer';
import { withRealStatus } from './reachable';
import { answerRules, merged, NOTHING_INSTALLED, type Counts, type Installed } from './rules-api';
import { answerOne } from './rules-write';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Broker } from './broker';
import { propertiesOf } from './rest-properties';

export interface RestOptions {
  readonly key: string;
  readonly secret: string;
  /** PUT /configs. */
  readonly configure: (config: Record<string, unknown>) => void;
  /** A connector, an action or a rule was changed by itself. */
  readonly reinstall: (before: Installed, after: Installed) => void;
  /** What the requests of an action have come to. */
  readonly counts: (action: string) => Counts;
  /** POST /rules/{id}/test. false: the rule does not take such an event. */
  readonly testRule: (id: string, context: Record<string, unknown>) => boolean;
  readonly version: 4 | 5;
  /** POST /resources and POST /rules of EMQX 4. */
  readonly rulesV4: Pick<RestV4Deps, 'install' | 'uninstall' | 'installed'>;
}

/**
 * A way in which EMQX may fail: hang, break the connection before it does what it is asked (`lose-request`) or after it
 * (`lose-answer`), or answer with a status.
 */
export type Outage = 'hang' | 'lose-request' | 'lose-answer' | number | null;

/** After this time (ms) EMQX closes an idle connection. Node's 5 s are about as long as fetch() keeps one: a request could meet its end. */
const IDLE_MS = 60_000;
const MAX_BODY = 8 * 1024 * 1024;
/** cowboy's max_request_line_length, less the rest of the line. */
const MAX_URL = 7_980;
/** mqtt.max_packet_size: the whole packet. */
const MAX_PACKET = 1_048_576;

const NOT_DISPATCHED = 131;

type Json = Record<string, unknown>;
type Answer = { status: number; body?: unknown };

/** EMQX's REST API, with the answers that were measured on EMQX. */
export class Rest {
  readonly server: Server;
  /** Each request that was answered: path and entries. */
  readonly publishes: Json[] = [];
  /** Each request to subscribe a client that was there. */
  readonly subscribes: { clientid: string; entries: { topic: string; qos?: number }[] }[] = [];
  /** What PUT /configs has put together; a test may spoil it. */
  installed = NOTHING_INSTALLED;
  /** Events that an action has given up, by its name. */
  lost: Record<string, number> = {};
  /** Whether the status of connectors and actions is looked up; otherwise each is connected. */
  checksConnectors = false;
  /** EMQX before 5.4 has neither connectors nor actions. */
  hasConnectors = true;
  /** EMQX before 5.7 has no POST /rules/{id}/test. */
  testsRules = true;
  /** A request by method and path that is answered well and has no effect, as EMQX 6.2 answers PUT /configs with JSON. */
  ignores: RegExp | null = null;
  /** EMQX's clock. ms. */
  clockAheadMs = 0;
  outage: Outage = null;
  /** Only requests whose method and URL it matches meet an outage. */
  spoiled: { route: RegExp; outage: Outage } | null = null;
  /** It has nobody who takes it: their connections are just ending, or overloaded. Asked for each entry of a publish. */
  dispatches: (entry: Json) => boolean = () => true;
  /** EMQX before 5.7 doesn't list what a session holds. */
  listsSessions = true;
  /** Called before a request is answered: what a client does at that moment. */
  before: (route: string) => void = () => undefined;
  /** Requests whose URL it matches wait for it. */
  hold: { url: RegExp; until: Promise<void> } | null = null;
  /** How many requests wait. */
  held = 0;
  /** Hears of each message that was published: its entry, and whether somebody was there. */
  published: (entry: Json, delivered: boolean) => void = () => undefined;
  /** Requests that met an outage, without the server's checks whether EMQX works (GET /nodes), which come at any time. */
  refused = 0;

  constructor(
    private readonly broker: Broker,
    private readonly options: RestOptions,
  ) {
    this.server = createServer({ keepAliveTimeout: IDLE_MS }, (request, response) => void this.handle(request, response));
  }

  renew(): void {
    this.publishes.length = 0;
    this.subscribes.length = 0;
    this.refused = 0;
    this.outage = null;
    this.spoiled = null;
    this.listsSessions = true;
    this.dispatches = () => true;
    this.before = () => undefined;
    this.hold = null;
  }

  private async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    if (this.outageOf(request) !== null && request.url?.endsWith('/nodes') !== true) this.refused++;
    if (this.hold?.url.test(request.url ?? '') === true) {
      this.held++;
      await this.hold.until;
      this.held--;
    }
    const outage = this.outageOf(request);
    if (outage === 'hang') return;
    if (outage === 'lose-request') return void response.destroy();
    const { status, body } =
      typeof outage === 'number' ? { status: outage, body: { code: 'DOWN' } } : await this.answer(request, Buffer.concat(chunks));
    if (outage === 'lose-answer') return void response.destroy();
    const date = new Date(Date.now() + this.clockAheadMs).toUTCString();
    response.writeHead(status, { 'content-type': 'application/json', date });
    response.end(body === undefined ? undefined : JSON.stringify(body));
  }

  private outageOf({ method, url }: IncomingMessage): Outage {
    const isSpoiled = this.spoiled?.route.test(`${method} ${url}`) === true;
    return this.outage ?? (isSpoiled ? (this.spoiled?.outage ?? null) : null);
  }

  private answer(request: IncomingMessage, body: Buffer): Answer | Promise<Answer> {
    const { authorization } = request.headers;
    if (authorization === undefined)
      return { status: 401, body: { code: 'AUTHORIZATION_HEADER_ERROR', message: 'Support authorization: basic/bearer ' } };
    if (authorization !== `Basic ${Buffer.from(`${this.options.key}:${this.options.secret}`).toString('base64')}`) {
      return { status: 401, body: { code: 'BAD_API_KEY_OR_SECRET', message: 'Check api_key/api_secret' } };
    }
    if (body.length > MAX_BODY) return { status: 500 };
    if ((request.url ?? '').length > MAX_URL) return { status: 414 };
    const base = `/api/v${this.options.version}`;
    const [url = '', query = ''] = (request.url ?? '').replace(base, '').split('?');
    const path = withoutDots(url);
    const route = `${request.method} ${path}`;
    this.before(route);
    if (this.options.version === 4) return this.answerV4(route, body);
    const uptime = Date.now() - this.broker.startedAt;
    if (route === 'GET /nodes')
      return { status: 200, body: [{ node: 'emqx@127.0.0.1', node_status: 'running', version: '5.8.9', uptime }] };
    const retainer = answerRetainer(this.broker, route, new URLSearchParams(query));
    if (retainer !== null) return retainer;
    const clients = answerClients(this.broker, route, new URLSearchParams(query), this.listsSessions);
    if (clients !== null) return clients;
    const rules = answerRules(this.installed, query === '' ? route : `${route}?${query}`, (action) => this.countsOf(action));
    if (rules !== null) return rules;
    const one = this.hasConnectors ? answerOne(this.installed, route, () => parse(body) as Json) : null;
    if (one !== null) return this.write(route, one);
    const [, tested] = /^POST \/rules\/([^/]+)\/test$/.exec(route) ?? [];
    if (tested !== undefined && this.testsRules) return this.testRule(decodeURIComponent(tested), parse(body) as Json);
    if (route === 'GET /message_queues/queues' && this.broker.messageQueues)
      return { status: 200, body: { data: [], meta: { hasnext: false } } };
    if (route === 'POST /publish') return this.publish(parse(body));
    if (route === 'POST /publish/bulk') return this.publishBulk(parse(body));
    if (route === 'PUT /configs' && query === 'mode=merge') return this.configure(request, body);
    const [, clientid = '', action] = /^POST \/clients\/([^/]+)\/(subscribe|unsubscribe)(?:\/bulk)?$/.exec(route) ?? [];
    if (action !== undefined) return this[action as 'subscribe' | 'unsubscribe'](decodeURIComponent(clientid), parse(body));
    return { status: 404, body: { code: 'NOT_FOUND', message: 'Request Path Not Found' } };
  }

  private countsOf(action: string): Counts {
    const { success, failed } = this.options.counts(action);
    return { success, failed: failed + (this.lost[action] ?? 0) };
  }

  private async write(route: string, { status, body, installed }: NonNullable<ReturnType<typeof answerOne>>): Promise<Answer> {
    if (installed !== undefined && this.ignores?.test(route) !== true) {
      const before = this.installed;
      this.installed = installed;
      this.options.reinstall(before, installed);
    }
    if (!this.checksConnectors || status > 299 || body === undefined || / \/rules/.test(route)) return { status, body };
    const { url, connector } = body as Json;
    const own = url ?? this.installed.connectors[String(connector)]?.['url'];
    return { status, body: await withRealStatus(body, own as string | undefined) };
  }

  private testRule(id: string, { context }: Json): Answer {
    if (this.installed.rules[id] === undefined)
      return { status: 404, body: { code: 'RULE_NOT_FOUND', message: 'The rule could not be found' } };
    if (this.options.testRule(id, context as Json)) return { status: 200, body: {} };
    return { status: 412, body: { code: 'NOT_MATCH', message: 'SQL Not Match' } };
  }

  private answerV4(route: string, body: Buffer): Answer {
    const subscribed = (clientid: string, entries: { topic: string; qos?: number }[]) => void this.subscribes.push({ clientid, entries });
    const published = (entry: Json, delivered: boolean) => {
      this.publishes.push(entry);
      this.published(entry, delivered);
    };
    const answer = answerV4(
      { broker: this.broker, published, subscribed, ...this.options.rulesV4 },
      route,
      body.length === 0 ? null : parse(body),
    );
    return answer === null ? { status: 404 } : { status: 200, body: answer };
  }

  private configure(request: IncomingMessage, body: Buffer): Answer {
    if (request.headers['content-type'] !== 'text/plain') return { status: 500 };
    const config = parse(body) as Json;
    this.installed = merged(this.installed, config);
    this.options.configure(config);
    return { status: 200, body: {} };
  }

  private publish(entry: unknown): Answer {
    const problem = flawOf(entry as Json);
    if (problem !== null) return { status: 400, body: problem };
    const result = this.send(entry as Json);
    return { status: statusOf([result]), body: result };
  }

  private publishBulk(entries: unknown): Answer {
    if (!Array.isArray(entries) || entries.length === 0) return { status: 500 };
    const flaw = (entries as Json[]).map(flawOf).find((each) => each !== null);
    // One bad entry and none is published.
    if (flaw !== undefined) return { status: 400, body: flaw };
    const results = (entries as Json[]).map((entry) => this.send(entry));
    return { status: statusOf(results), body: results };
  }

  private send(entry: Json): Json {
    if (!this.dispatches(entry)) return { reason_code: NOT_DISPATCHED, message: 'failed_to_dispatch' };
    this.publishes.push(entry);
    const properties = propertiesOf((entry['properties'] ?? {}) as Json);
    const text = String(entry['payload'] ?? '');
    const id = this.broker.publish({
      ...{ clientid: 'http_api', username: null, properties, topic: String(entry['topic']) },
      qos: (entry['qos'] ?? 0) as 0 | 1 | 2,
      retain: entry['retain'] === true,
      payload: Buffer.from(text, entry['payload_encoding'] === 'base64' ? 'base64' : 'utf8'),
    });
    this.published(entry, id !== null);
    return id === null ? { reason_code: 16, message: 'no_matching_subscribers' } : { id };
  }

  /** EMQX's source: 204 whether the client had them or not; the event is fired for those it had. */
  private unsubscribe(clientid: string, body: unknown): Answer {
    const session = this.broker.sessions.get(clientid);
    if (session === undefined) return { status: 404, body: { code: 'CLIENTID_NOT_FOUND', message: 'Client ID not found' } };
    for (const { topic } of [body].flat() as { topic: string }[]) this.broker.unsubscribe(session, topic);
    return { status: 204 };
  }

  private subscribe(clientid: string, body: unknown): Answer {
    const session = this.broker.sessions.get(clientid);
    // Of a durable session that is away there is no process that could be asked.
    const isThere = session !== undefined && !(session.durable && session.outlet === null);
    if (!isThere) return { status: 404, body: { code: 'CLIENTID_NOT_FOUND', message: 'Client ID not found' } };
    const entries = (Array.isArray(body) ? body : [body]) as { topic: string; qos?: 0 | 1 | 2 }[];
    this.subscribes.push({ clientid, entries });
    for (const { topic, qos } of entries) this.broker.subscribe(session, topic, qos ?? 0);
    const answers = entries.map(({ topic, qos }) => ({ clientid, topic, qos: qos ?? 0, node: 'emqx@127.0.0.1', nl: 0, rap: 0, rh: 0 }));
    return { status: 200, body: Array.isArray(body) ? answers : answers[0] };
  }
}

/** What EMQX could not hand over makes the answer a 503, although it has published the others. */
function statusOf(results: readonly Json[]): number {
  if (results.some((result) => result['reason_code'] === NOT_DISPATCHED)) return 503;
  return results.every((result) => 'id' in result) ? 200 : 202;
}

/** As cowboy's router does: `.` and `..` are dropped after the segments are decoded. */
function withoutDots(path: string): string {
  const kept: string[] = [];
  for (const segment of path.split('/')) {
    const name = decodeURIComponent(segment);
    if (name === '..') kept.pop();
    else if (name !== '.') kept.push(segment);
  }
  return kept.join('/');
}

function parse(body: Buffer): unknown {
  return JSON.parse(body.toString());
}

function flawOf(entry: Json): Json | null {
  const topic = String(entry['topic'] ?? '');
  if (topic === '' || /[+#]/.test(topic)) return { code: 'BAD_REQUEST', message: 'topic_name_error' };
  const size =
    Buffer.from(String(entry['payload'] ?? ''), entry['payload_encoding'] === 'base64' ? 'base64' : 'utf8').length + topic.length;
  if (size >= MAX_PACKET) return { reason_code: 151, message: 'packet_too_large' };
  const properties = (entry['properties'] ?? {}) as Json;
  const users = Object.values((properties['user_properties'] ?? {}) as Json);
  // EMQX answers 200 and crashes every MQTT 5 subscriber: a test must not get so far.
  if (users.some((value) => typeof value !== 'string')) throw new TypeError('a user property that is not a string');
  const correlation = properties['correlation_data'];
  if (typeof correlation === 'string' && /[\p{Cc}\p{Cn}]/u.test(correlation)) return { code: 'BAD_REQUEST', message: 'correlation_data' };
  return null;
}
