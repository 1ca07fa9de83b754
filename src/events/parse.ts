import type { components } from '../contract/openapi';
import type { WireMessage } from '../mqtt/message';
import { clampQos } from '../mqtt/qos';
import type { AckedEvent, DeliveryDroppedEvent, OfflineEvent, PublishEvent } from './event';
import { isBase64 } from '../contract/formats';
import { invalid } from './invalid';
import { HANDLED, type HandledName } from './names';
import { given, isMessageId, markOf, messageProperties, userProperties } from './properties';
import { sessionNews } from './session';
import { isStorable } from '../mqtt/validity';

type Schemas = components['schemas'];

/**
 * Functions that turn bodies that match their schemas into exact types.
 * @throws InvalidEventError for errors that a schema can't express.
 */
export const PARSERS: { readonly [Name in HandledName]: (body: Schemas[(typeof HANDLED)[Name]]) => OfflineEvent } = {
  'message.publish': publish,
  // The schema requires a whole message only with this reason. With other reasons the message may be missing.
  'message.dropped': (body) =>
    body.reason === 'no_subscribers'
      ? publish(body as unknown as Schemas['PublishedMessage'])
      : { type: 'ignored', event: 'message.dropped' },
  'message.delivered': (body) => ({ type: 'delivered', ...delivery(body), qos: body.qos }),
  'message.acked': (body) => ({ type: 'acked', ...delivery(body) }),
  'delivery.dropped': (body): DeliveryDroppedEvent => ({
    ...{ type: 'delivery-dropped', ...delivery(body) },
    // A rule may not select the QoS. Most deliveries that can be dropped have QoS 1.
    qos: given(body.qos) ?? 1,
    reason: given(body.reason) ?? 'unknown',
  }),
  'session.subscribed': ({ clientid, topic, qos, timestamp }) => ({
    type: 'subscribed',
    clientid,
    filter: topic,
    qos: clampQos(qos),
    at: timestamp,
  }),
  'session.unsubscribed': ({ clientid, topic, timestamp }) => ({ type: 'unsubscribed', clientid, filter: topic, at: timestamp }),
  'client.connected': ({ clientid, node, connected_at, timestamp, mountpoint, clean_start, expiry_interval, rule_set }) => ({
    type: 'connected',
    clientid,
    node: given(node) ?? null,
    at: firstTime({ connected_at, timestamp }),
    ...sessionNews({ clean_start, expiry_interval, rule_set }),
    ...mountpointOf(mountpoint),
  }),
  'client.disconnected': ({ clientid, node, connected_at, disconnected_at, timestamp }) => ({
    type: 'disconnected',
    clientid,
    node: given(node) ?? null,
    connectedAt: given(connected_at) ?? null,
    at: firstTime({ disconnected_at, timestamp }),
  }),
};

/**
 * Accepts any JSON, like sessionNews, because EMQX can be asked for the value. A text that not every database stores
 * counts as absent: it may have a client's user name in it.
 */
function mountpointOf(mountpoint: unknown): { mountpoint?: string | null } {
  if (typeof mountpoint === 'string' && !isStorable(mountpoint)) return {};
  if (typeof mountpoint === 'string') return { mountpoint: mountpoint === '' || mountpoint === 'undefined' ? null : mountpoint };
  return mountpoint === null ? { mountpoint } : {};
}

function publish(body: Schemas['PublishedMessage']): PublishEvent {
  const properties = messageProperties(given(body.pub_props) ?? {}, given(body.correlation_data_base64));
  if (!(properties.userProperties ?? []).every(({ key, value }) => isStorable(key) && isStorable(value))) {
    throw invalid('/pub_props/User-Property', 'must hold only well-formed Unicode without U+0000');
  }
  const publishReceivedAt = publishedAt(body);
  const { messageExpiryInterval: seconds } = properties;
  const message: WireMessage = {
    id: body.id,
    topic: body.topic,
    clientid: body.clientid,
    username: given(body.username) ?? null,
    qos: body.qos,
    retain: given(body.flags)?.retain ?? false,
    payload: payloadOf(body),
    publishReceivedAt,
    expiresAt: seconds === undefined ? null : publishReceivedAt + seconds * 1000,
    properties,
  };
  return { type: 'publish', message, mark: markOf(properties.userProperties ?? []) };
}

/**
 * The two times of an event that is not delayed differ by a few ms; a greater difference (ms) means a delayed message.
 */
const AT_ONCE_MS = 1_000;

/**
 * When the message appeared for subscribers. For a delayed message, publish_received_at is the time at which the
 * publisher sent it, and only `timestamp` says when it was due. Example: a message that was delayed for 8 days must not
 * be older than its ttl of 7 days when it appears.
 */
function publishedAt({ publish_received_at, timestamp }: Schemas['PublishedMessage']): number {
  const received = firstTime({ publish_received_at, timestamp });
  const at = given(timestamp) ?? received;
  return at > received + AT_ONCE_MS ? at : received;
}

/**
 * A `payload` of "undefined" is the publisher's text, because a rule that selects `payload` from message.publish always
 * has one.
 */
function payloadOf(body: Schemas['PublishedMessage']): string {
  const base64 = given(body.payload_base64);
  if (base64 !== undefined) return base64;
  const text = body.payload ?? '';
  if (body.payload_encoding !== 'base64') return Buffer.from(text, 'utf8').toString('base64');
  if (!isBase64(text)) throw invalid('/payload', 'must be base64, as payload_encoding says');
  return text;
}

/** A wrong id is not rejected. Without its acknowledgement the message would be sent again until its ttl ends. */
function delivery(body: Schemas['DeliveredMessage']): Omit<AckedEvent, 'type'> {
  const { id, topic, clientid, timestamp, publish_received_at } = body;
  return {
    id: isMessageId(id) ? id : null,
    topic,
    clientid,
    mark: markOf(userProperties(body.pub_props)),
    at: firstTime({ timestamp, publish_received_at }),
  };
}

type OptionalTime = Schemas['OptionalEventTime'] | undefined;

/**
 * The first time that the event has. The server's own clock is never used, because events arrive late and out of order.
 */
function firstTime(times: Readonly<Record<string, OptionalTime>>): number {
  for (const name in times) {
    const time = times[name];
    if (given(time) !== undefined) return Number(time);
  }
  const names = Object.keys(times);
  throw invalid(`/${names[0] ?? ''}`, `is missing; the event must have ${names.join(' or ')}`);
}
