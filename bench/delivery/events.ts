import { emqxId } from './ids';

/** A message's payload, base64. */
export const PAYLOAD = Buffer.alloc(200, 'x').toString('base64');

/** An event of EMQX's on its way to the action's server. The clientid chooses the connection (pool_type hash). */
export interface BrokerEvent {
  readonly clientid: string;
  readonly name: string;
  readonly body: string;
}

/** What EMQX tells of a message that a client acknowledged. */
export interface Acknowledged {
  readonly id: string;
  readonly topic: string;
  readonly userProperties: Readonly<Record<string, string>>;
  /** ms */
  readonly publishReceivedAt: number;
  /** `http_api` of what REST published. */
  readonly from: string;
}

function event(clientid: string, name: string, fields: object): BrokerEvent {
  return { clientid, name, body: JSON.stringify({ event: name, clientid, username: 'undefined', timestamp: Date.now(), ...fields }) };
}

/** A rule that names its columns writes this where an event has none. */
const NO_PAYLOAD = { payload_base64: 'undefined', correlation_data_base64: 'undefined' };

/** A new id, and the event of its publish. */
export function published(clientid: string, topic: string): { id: string; event: BrokerEvent } {
  const [id, at] = [emqxId(), Date.now()];
  const fields = { id, topic, qos: 1, flags: { retain: false, dup: false }, pub_props: { 'User-Property': {} }, publish_received_at: at };
  return { id, event: event(clientid, 'message.publish', { ...fields, payload_base64: PAYLOAD, correlation_data_base64: 'undefined' }) };
}

/** A clean session that ends with its connection, as the rule `offline-messages` tells of it. */
export function connected(clientid: string): BrokerEvent {
  return event(clientid, 'client.connected', {
    clean_start: true,
    expiry_interval: 0,
    connected_at: Date.now(),
    node: 'emqx@127.0.0.1',
    rule_set: 'offline-messages',
  });
}

export function subscribed(clientid: string, topic: string): BrokerEvent {
  return event(clientid, 'session.subscribed', { topic, qos: 1, ...NO_PAYLOAD });
}

export function acked(clientid: string, { id, topic, userProperties, publishReceivedAt, from }: Acknowledged): BrokerEvent {
  const pairs = Object.entries(userProperties).map(([key, value]) => ({ key, value }));
  const properties = { 'User-Property': userProperties, ...(pairs.length > 0 && { 'User-Property-Pairs': pairs }) };
  const fields = { id, topic, qos: 1, flags: { retain: false, dup: false }, pub_props: properties, publish_received_at: publishReceivedAt };
  return event(clientid, 'message.acked', { ...fields, from_clientid: from, from_username: 'undefined', ...NO_PAYLOAD });
}
