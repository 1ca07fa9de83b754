import type { components } from '../contract/openapi';
import { isStorableId, type MessageProperties, type UserProperty } from '../mqtt/message';
import type { Mark } from './event';
import { invalid } from './invalid';

type PublishProperties = components['schemas']['PublishProperties'];

/**
 * Maps the string "undefined" to undefined, because EMQX writes it for absent values. Must not be used for text that a
 * publisher chose: there it is the publisher's text.
 */
export function given<T>(value: T | 'undefined' | null | undefined): Exclude<T, 'undefined'> | undefined {
  return value === 'undefined' || value === null || value === undefined ? undefined : (value as Exclude<T, 'undefined'>);
}

/**
 * The MQTT 5 properties of a publish, exactly as published (promise 11). EMQX leaves out properties that were not sent,
 * so a content type "undefined" is the publisher's. Correlation data in the JSON has lost all bytes that are not UTF-8;
 * `correlationBase64` has all bytes.
 */
export function messageProperties(props: PublishProperties, correlationBase64: string | undefined): MessageProperties {
  const correlationText = props['Correlation-Data'];
  const correlationData =
    correlationBase64 ?? (correlationText === undefined ? undefined : Buffer.from(correlationText).toString('base64'));
  const payloadFormatIndicator = given(props['Payload-Format-Indicator']);
  const messageExpiryInterval = given(props['Message-Expiry-Interval']);
  const half = isRecord(props['User-Property']) ? null : halfPair(props);
  if (half !== null) throw invalid(`/pub_props/User-Property-Pairs/${half}`, 'is missing, and there is no User-Property to take instead');
  const properties = userProperties(props);
  return {
    ...(props['Content-Type'] !== undefined && { contentType: props['Content-Type'] }),
    ...(props['Response-Topic'] !== undefined && { responseTopic: props['Response-Topic'] }),
    ...(correlationData !== undefined && { correlationData }),
    ...(payloadFormatIndicator !== undefined && { payloadFormatIndicator }),
    ...(messageExpiryInterval !== undefined && { messageExpiryInterval }),
    ...(properties.length > 0 && { userProperties: properties }),
  };
}

/**
 * Accepts any JSON. Only the mark of an acknowledgement matters, and an unusual property must not make the server lose
 * the acknowledgement.
 */
export function userProperties(props: unknown): UserProperty[] {
  const { 'User-Property-Pairs': pairs, 'User-Property': map } = asRecord(props);
  // The list keeps order and duplicates, the map does not. EMQX's test of a rule sends a list of half pairs and a
  // correct map.
  if (Array.isArray(pairs) && (halfPair(props) === null || !isRecord(map))) {
    return pairs.map(asRecord).flatMap(({ key, value }) => (typeof key === 'string' ? { key, value: toText(value) } : []));
  }
  return Object.entries(asRecord(map)).flatMap(([key, value]) =>
    (Array.isArray(value) ? value : [value]).map((each) => ({ key, value: toText(each) })),
  );
}

/** The path in User-Property-Pairs to a missing key or value; null if none is missing. */
function halfPair(props: unknown): string | null {
  const { 'User-Property-Pairs': pairs } = asRecord(props);
  if (!Array.isArray(pairs)) return null;
  for (const [i, pair] of pairs.entries()) {
    for (const half of ['key', 'value']) if (asRecord(pair)[half] === undefined) return `${i}/${half}`;
  }
  return null;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function asRecord(value: unknown): Record<string, unknown> {
  return isRecord(value) ? value : {};
}

/**
 * MQTT properties are strings. If the server sent one back as a number, EMQX would close the connection of every MQTT 5
 * subscriber.
 */
function toText(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
}

/** EMQX writes "undefined" if there is no id. */
export function isMessageId(id: unknown): id is string {
  return typeof id === 'string' && id !== 'undefined' && isStorableId(id);
}

/** @returns null also for a value that no stored message can have as its id (promise 18). */
export function markOf(properties: readonly UserProperty[]): Mark | null {
  const last = (name: string): string | undefined => properties.findLast(({ key }) => key === name)?.value;
  const id = last('offline-msgid');
  return !isMessageId(id) ? null : { id, signature: last('offline-sig') ?? '' };
}
