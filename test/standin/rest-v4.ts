import type { Broker } from './broker';
import { propertiesOf } from './rest-properties';
import type { Session } from './session';

type Json = Record<string, unknown>;

export type KindV4 = 'resources' | 'rules';

/** EMQX 4.4's REST API, with the answers that EMQX gives: HTTP 200 for nearly everything, and a code. */
export interface RestV4Deps {
  readonly broker: Broker;
  /** Hears of each message that is published. */
  readonly published: (entry: Json, delivered: boolean) => void;
  readonly subscribed: (clientid: string, entries: { topic: string; qos?: number }[]) => void;
  /** POST /resources and POST /rules. */
  readonly install: (kind: KindV4, body: Json) => Json;
  /** DELETE of one of them. */
  readonly uninstall: (kind: KindV4, id: string) => Json;
  readonly installed: (kind: KindV4) => readonly Json[];
}

const OK = 0;
const NO_SUCH_CLIENT = 112;
const BAD_TOPIC = 115;
/** EMQX's time zone. */
const ZONE_MS = 3_600_000;

/** null: another path, which is a 404. */
export function answerV4(deps: RestV4Deps, route: string, body: unknown): Json | null {
  if (route === 'GET /nodes')
    return { code: OK, data: [{ node: 'emqx@127.0.0.1', node_status: 'Running', version: '4.4.19', otp_release: '24.1' }] };
  if (route === 'GET /brokers') return { code: OK, data: [{ node: 'emqx@127.0.0.1', datetime: local(Date.now()), version: '4.4.19' }] };
  if (route === 'POST /mqtt/publish') return single(publish(deps, body as Json));
  if (route === 'POST /mqtt/publish_batch') return batch(body, (entry) => publish(deps, entry));
  if (route === 'POST /mqtt/subscribe') return single(subscribe(deps, body as Json));
  if (route === 'POST /mqtt/subscribe_batch') return batch(body, (entry) => subscribe(deps, entry));
  if (route === 'POST /mqtt/unsubscribe_batch') return batch(body, (entry) => unsubscribe(deps, entry));
  const [, method, kind, id] = /^(POST|GET|DELETE) \/(resources|rules)(?:\/([^/]+))?$/.exec(route) ?? [];
  if (kind === 'resources' || kind === 'rules')
    return {
      code: OK,
      data: method === 'GET' ? deps.installed(kind) : method === 'POST' ? deps.install(kind, body as Json) : deps.uninstall(kind, id ?? ''),
    };
  const [, clientid] = /^GET \/clients\/([^/]+)$/.exec(route) ?? [];
  if (clientid === undefined) return null;
  const session = deps.broker.sessions.get(decodeURIComponent(clientid));
  return { code: OK, data: session === undefined ? [] : [viewOf(session)] };
}

const single = (code: number): Json => (code === OK ? { code } : { code, message: code === BAD_TOPIC ? 'bad_topic' : 'not_found' });

/** Bad entries fail alone. */
const batch = (body: unknown, work: (entry: Json) => number): Json => ({
  code: OK,
  data: (body as Json[]).map((entry) => ({ topic: entry['topic'], code: work(entry) })),
});

/** A comma splits the topic into several. Nothing tells whether anybody is there. */
function publish({ broker, published }: RestV4Deps, entry: Json): number {
  const topics = topicsOf(entry).filter((topic) => topic !== '' && !/[+#]/.test(topic));
  if (topics.length === 0) return BAD_TOPIC;
  const payload = Buffer.from(String(entry['payload'] ?? ''), entry['encoding'] === 'base64' ? 'base64' : 'utf8');
  const properties = propertiesOf((entry['properties'] ?? {}) as Json);
  for (const topic of topics) {
    const fields = { clientid: String(entry['clientid']), username: null, properties, topic, payload };
    const id = broker.publish({ ...fields, qos: (entry['qos'] ?? 0) as 0 | 1 | 2, retain: entry['retain'] === true });
    published(entry, id !== null);
  }
  return OK;
}

function subscribe({ broker, subscribed }: RestV4Deps, entry: Json): number {
  const session = sessionOf(broker, entry);
  if (session === undefined) return NO_SUCH_CLIENT;
  const entries = topicsOf(entry).map((topic) => ({ topic, qos: (entry['qos'] ?? 0) as 0 | 1 | 2 }));
  subscribed(session.clientid, entries);
  for (const { topic, qos } of entries) broker.subscribe(session, topic, qos);
  return OK;
}

function unsubscribe({ broker }: RestV4Deps, entry: Json): number {
  const session = sessionOf(broker, entry);
  if (session === undefined) return NO_SUCH_CLIENT;
  broker.unsubscribe(session, String(entry['topic']));
  return OK;
}

const sessionOf = (broker: Broker, entry: Json): Session | undefined => broker.sessions.get(String(entry['clientid']));
const topicsOf = (entry: Json): string[] => String(entry['topic'] ?? '').split(',');

function viewOf({ clientid, connect, expiry, outlet, limits, createdAt, connectedAt, queue, sent, subscriptions }: Session): Json {
  return {
    ...{
      clientid,
      username: connect.username ?? 'undefined',
      connected: outlet !== null,
      clean_start: connect.clean,
      expiry_interval: expiry,
    },
    ...{
      created_at: local(createdAt),
      connected_at: local(connectedAt),
      mqueue_len: queue.length,
      max_mqueue: limits.queue,
      inflight: sent.size,
    },
    ...{ max_inflight: limits.inflight, mountpoint: 'undefined', proto_ver: connect.version, subscriptions_cnt: subscriptions.size },
  };
}

/** Whole seconds, without a time zone. */
function local(ms: number): string {
  return new Date(ms + ZONE_MS).toISOString().slice(0, 19).replace('T', ' ');
}
