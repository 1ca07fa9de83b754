import type { Broker } from './broker';
import type { Session } from './session';
import type { Pending } from './types';

type Answer = { status: number; body?: unknown };

const NOT_FOUND: Answer = { status: 404, body: { code: 'CLIENTID_NOT_FOUND', message: 'Client ID not found' } };

/** GET /clients/{clientid} and the lists under it, as EMQX answers and as EMQX's source says (5.8); null for other routes. */
export function answerClients(broker: Broker, route: string, query: URLSearchParams, listsSessions: boolean): Answer | null {
  if (route === 'GET /clients') {
    const limit = Number(query.get('limit') ?? 100);
    const all = [...broker.sessions.values()].map((session) => viewOf(session, broker.mountpointOf(session.clientid)));
    return { status: 200, body: { data: all.slice(0, limit), meta: { page: 1, limit, count: all.length, hasnext: all.length > limit } } };
  }
  const [, clientid, list] = /^GET \/clients\/([^/]+)(?:\/(mqueue_messages|inflight_messages))?$/.exec(route) ?? [];
  if (clientid === undefined || (list !== undefined && !listsSessions)) return null;
  const session = broker.sessions.get(decodeURIComponent(clientid));
  if (session === undefined) return NOT_FOUND;
  if (list === undefined) return { status: 200, body: viewOf(session, broker.mountpointOf(session.clientid)) };
  // A durable session's are not to be listed; of one that is away there is no process to ask.
  if (session.durable)
    return session.outlet === null
      ? NOT_FOUND
      : { status: 501, body: { code: 'NOT_IMPLEMENTED', message: 'API not available for persistent sessions' } };
  return list === 'mqueue_messages' ? pageOf(session.queue, 'queue', query) : pageOf([...session.sent.values()], 'inflight', query);
}

function viewOf(session: Session, mountpoint: string | null): Record<string, unknown> {
  const { clientid, connect, expiry, outlet, limits } = session;
  const connected = outlet !== null;
  return {
    ...{ clientid, username: connect.username, connected, clean_start: connect.clean, expiry_interval: expiry, is_expired: false },
    // EMQX sets it when the session begins (its source); a later connection may have changed the expiry.
    ...{
      is_persistent: session.persistentAtFirst,
      proto_name: 'MQTT',
      proto_ver: connect.version,
      keepalive: 60,
      mountpoint,
      durable: session.durable,
    },
    ...{ created_at: iso(session.createdAt), connected_at: iso(session.connectedAt) },
    ...(!connected && { disconnected_at: iso(session.disconnectedAt) }),
    ...{ mqueue_len: session.queue.length, mqueue_max: limits.queue, mqueue_dropped: session.droppedCount },
    ...{ inflight_cnt: session.sent.size, inflight_max: session.inflightMax },
    ...{ subscriptions_cnt: session.subscriptions.size, node: 'emqx@127.0.0.1', ip_address: '127.0.0.1', port: 50_000 },
  };
}

/** EMQX writes times with the offset of where it runs. */
function iso(ms: number): string {
  return new Date(ms + 3_600_000).toISOString().replace('Z', '+01:00');
}

function pageOf(all: readonly Pending[], kind: 'queue' | 'inflight', query: URLSearchParams): Answer {
  const limit = Number(query.get('limit') ?? 100);
  const given = query.get('position') ?? 'none';
  const wanted = kind === 'queue' ? /^(\d+)_0$/ : /^(\d+)$/;
  const after = given === 'none' ? -1n : BigInt(wanted.exec(given)?.[1] ?? -2);
  if (!(limit >= 1 && limit <= 10_000)) return { status: 400, body: { code: 'BAD_REQUEST', message: 'limit' } };
  if (after === -2n) return { status: 400, body: { code: 'INVALID_PARAMETER', message: 'position_limit_invalid' } };
  const page = all.filter(({ insertedAt }) => insertedAt > after).slice(0, limit);
  const position = ({ insertedAt }: Pending): string => (kind === 'queue' ? `${insertedAt}_0` : `${insertedAt}`);
  const [first, last] = [all[0], page.at(-1)];
  const meta = { start: first === undefined ? 'none' : position(first), position: last === undefined ? given : position(last) };
  return { status: 200, body: { meta, data: page.map((pending) => entryOf(pending, kind, query.get('payload') ?? 'base64')) } };
}

function entryOf({ message, qos, insertedAt }: Pending, kind: 'queue' | 'inflight', payload: string): Record<string, unknown> {
  const { id, topic, receivedAt, clientid, username } = message;
  return {
    ...{
      msgid: id,
      topic,
      qos,
      publish_at: receivedAt,
      from_clientid: clientid,
      from_username: username ?? 'undefined',
      inserted_at: `${insertedAt}`,
    },
    ...(kind === 'queue' && { mqueue_priority: 0 }),
    ...(payload !== 'none' && { payload: message.payload.toString(payload === 'plain' ? 'utf8' : 'base64') }),
  };
}
