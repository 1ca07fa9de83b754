import type { Message, MessageProperties } from '../../mqtt/message';
import { clampQos } from '../../mqtt/qos';

/** The hash of a message as a list: field, value, field, value, ... */
export function toFields(message: Message): (string | number | Buffer)[] {
  return [
    ...['id', message.id, 'from', message.clientid, 'qos', message.qos, 'topic', message.topic, 'payload', message.payload],
    ...['ts', message.publishReceivedAt, 'retain', message.retain ? 1 : 0, 'properties', JSON.stringify(message.properties)],
    ...(message.username === null ? [] : ['username', message.username]),
    ...(message.expiresAt === null ? [] : ['expires_at', message.expiresAt]),
  ];
}

/**
 * null if there is no such hash. Hashes of EMQX's plugin have no username, properties and expires_at. `id` is the id in
 * the key.
 */
export function toMessage(id: string, fields: Readonly<Record<string, Buffer>>): Message | null {
  if (fields['topic'] === undefined) return null;
  const text = (name: string): string | null => fields[name]?.toString() ?? null;
  const expires = text('expires_at');
  const properties = text('properties');
  return {
    id,
    topic: text('topic') ?? '',
    clientid: text('from') ?? '',
    username: text('username'),
    qos: clampQos(Number(text('qos') ?? 0)),
    retain: ['1', 'true'].includes(text('retain') ?? ''),
    payload: fields['payload'] ?? Buffer.alloc(0),
    publishReceivedAt: Number(text('ts') ?? 0),
    expiresAt: expires === null ? null : Number(expires),
    properties: properties === null ? {} : (JSON.parse(properties) as MessageProperties),
  };
}
