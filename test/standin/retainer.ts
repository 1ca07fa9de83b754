import type { Broker } from './broker';
import type { BrokerMessage } from './message';

type Answer = { status: number; body?: unknown };

/** EMQX's /mqtt/retainer, after its source (5.8); null for other routes. */
export function answerRetainer(broker: Broker, route: string, query: URLSearchParams): Answer | null {
  if (route === 'GET /mqtt/retainer')
    return { status: 200, body: { enable: true, max_payload_size: '1MB', backend: { type: 'built_in_database', storage_type: 'ram' } } };
  if (route === 'GET /mqtt/retainer/messages') return list(broker, Number(query.get('page') ?? 1), Number(query.get('limit') ?? 100));
  const topic = /^GET \/mqtt\/retainer\/message\/([^/]+)$/.exec(route)?.[1];
  if (topic === undefined) return null;
  const message = broker.retainedNow().find((each) => each.topic === decodeURIComponent(topic));
  if (message === undefined) return { status: 404, body: { code: 'NOT_FOUND', message: "Viewed message doesn't exist" } };
  return { status: 200, body: { ...summary(message), payload: message.payload.toString('base64') } };
}

function list(broker: Broker, page: number, limit: number): Answer {
  const all = [...ownMessages(broker), ...broker.retainedNow().map(summary)];
  const data = all.slice((page - 1) * limit, page * limit);
  return { status: 200, body: { data, meta: { page, limit, count: all.length, hasnext: page * limit < all.length } } };
}

function summary({ id, topic, qos, receivedAt, clientid }: BrokerMessage): Record<string, unknown> {
  return {
    msgid: id,
    topic,
    qos,
    publish_at: new Date(receivedAt).toISOString().replace('Z', '+00:00'),
    from_clientid: clientid,
    from_username: '',
  };
}

/** A broker is never empty: it retains a few messages about itself. */
function ownMessages(broker: Broker): Record<string, unknown>[] {
  const publish_at = new Date(broker.startedAt - 60_000).toISOString();
  return ['$SYS/brokers', '$SYS/brokers/emqx@127.0.0.1/version'].map((topic) => ({
    msgid: '0'.repeat(32),
    topic,
    qos: 0,
    publish_at,
    from_clientid: 'emqx_sys',
  }));
}
