import { pubProps, type BrokerMessage } from './message';
import type { Session } from './session';

/** What the rule engine has in its events of a client, of a publisher and of a message. */

export function clientColumns({ clientid, connect: { username } }: Session): Record<string, unknown> {
  return { clientid, username: username ?? undefined, peername: '127.0.0.1:50000', peerhost: '127.0.0.1', ...commonColumns() };
}

export function publisherColumns({ clientid, username }: BrokerMessage): Record<string, unknown> {
  const peer =
    clientid === 'http_api' ? { peername: undefined, peerhost: undefined } : { peername: '127.0.0.1:50001', peerhost: '127.0.0.1' };
  return { clientid, username: username ?? undefined, ...peer, client_attrs: {}, ...commonColumns() };
}

export function messageColumns(message: BrokerMessage): Record<string, unknown> & { flags: Record<string, boolean> } {
  const { id, topic, qos, retain, payload, receivedAt, clientid, properties } = message;
  const flags: Record<string, boolean> = clientid === 'http_api' ? { retain } : { retain, dup: false };
  return { id, topic, qos, flags, payload, publish_received_at: receivedAt, pub_props: pubProps(properties) };
}

function commonColumns(): Record<string, unknown> {
  return { timestamp: Date.now(), node: 'emqx@127.0.0.1', metadata: { rule_id: 'offline_store' } };
}
