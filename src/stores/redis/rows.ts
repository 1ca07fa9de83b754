import type { Message, MessageProperties } from '../../mqtt/message';
import { clampQos } from '../../mqtt/qos';

/** The fields that the hash of every message has: those of EMQX. */
export const FIELDS = ['id', 'from', 'qos', 'topic', 'payload', 'ts', 'retain'] as const;

/** The values of FIELDS. */
export function valuesOf({ id, clientid, qos, topic, payload, publishReceivedAt, retain }: Message): (string | number | Buffer)[] {
  return [id, clientid, qos, topic, payload, publishReceivedAt, retain ? 1 : 0];
}

/** The server's own fields as a list: field, value, field, value, ... An absent field stands for no value. */
export function ownFields({ username, expiresAt, properties }: Message): (string | number)[] {
  const fields: (string | number)[] = [];
  if (expiresAt !== null) fields.push('expires_at', expiresAt);
  if (username !== null) fields.push('username', username);
  const text = JSON.stringify(properties);
  if (text !== '{}') fields.push('properties', text);
  return fields;
}

/** The whole hash of a message as a list. */
export function toFields(message: Message): (string | number | Buffer)[] {
  const values = valuesOf(message);
  return [...FIELDS.flatMap((name, i) => [name, values[i] ?? '']), ...ownFields(message)];
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

/** Redis answers with a list: field, value, field, value, ... */
export function pairsOf<T extends string | Buffer>(list: readonly T[]): [string, T][] {
  const pairs: [string, T][] = [];
  for (let i = 0; i + 1 < list.length; i += 2) pairs.push([String(list[i]), list[i + 1] as T]);
  return pairs;
}

/** A hash as Redis answers with it. */
export function fromPairs(list: readonly Buffer[]): Record<string, Buffer> {
  return Object.fromEntries(pairsOf(list));
}
