import { isUtf8 } from 'node:buffer';
import { RefusedError } from '../../base/errors';
import type { Message, MessageProperties } from '../../mqtt/message';
import { clampQos } from '../../mqtt/qos';
import { firstOfEachId } from '../shared/first-of-each';
import type { Refusal } from '../store';
import { KEY_BYTES } from './keys';
import { bytes, bytesOf, number, numberOf, sizeOf, text, textOf, type Item } from './values';

const ITEM_BYTES = 400 * 1_024;
/** Kept free for the topic in the key of mqtt_retain. The payload may use the remaining room. */
const SPARE_BYTES = 4 * 1_024;

export interface Row {
  readonly item: Item;
  /** A payload that does not fit into the item; null if it does. */
  readonly outside: Buffer | null;
}

/**
 * An item of mqtt_msg, or with another key of mqtt_retain.
 * @throws RefusedError if no item can hold the message
 */
export function toRow(message: Message, partsOf: (payload: Buffer) => number): Row {
  const { id, topic, clientid, username, qos, retain, payload, publishReceivedAt, expiresAt, properties } = message;
  if (id === '' || Buffer.byteLength(id) > KEY_BYTES) throw new RefusedError(`the message id must have 1 to ${KEY_BYTES} bytes`);
  if (topic === '') throw new RefusedError('the topic is empty');
  const rest: Item = {
    msgid: text(id),
    topic: text(topic),
    sender: text(clientid),
    qos: number(qos),
    retain: number(retain ? 1 : 0),
    // EMQX's attribute, in whole seconds.
    arrived: number(Math.floor(publishReceivedAt / 1_000)),
    published_at: number(publishReceivedAt),
    ...(username !== null && { username: text(username) }),
    ...(expiresAt !== null && { expires_at: number(expiresAt) }),
    ...(Object.keys(properties).length > 0 && { properties: text(JSON.stringify(properties)) }),
  };
  const room = ITEM_BYTES - SPARE_BYTES - sizeOf(rest);
  if (room < 0) throw new RefusedError('topic, client id and properties together exceed what a DynamoDB item holds (400 KB)');
  if (payload.length > room) return { item: { ...rest, parts: number(partsOf(payload)) }, outside: payload };
  return { item: { ...rest, payload: isReadable(payload) ? text(payload.toString()) : bytes(payload) }, outside: null };
}

/** The rows of a batch: the first message of each id, without those that no item can hold. */
export function rowsOf(
  messages: readonly Message[],
  partsOf: (payload: Buffer) => number,
): { rows: Map<Message, Row>; refusals: Refusal[] } {
  const rows = new Map<Message, Row>();
  const refusals: Refusal[] = [];
  for (const message of firstOfEachId(messages)) {
    try {
      rows.set(message, toRow(message, partsOf));
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      refusals.push({ id: message.id, reason: error.message });
    }
  }
  return { rows, refusals };
}

/** EMQX's own items have no published_at. Their `arrived` is in seconds. */
export const publishedAt = (item: Item): number => numberOf(item['published_at']) ?? secondsToMs(numberOf(item['arrived'])) ?? 0;

export function toMessage(item: Item, outside: Buffer | null): Message {
  const properties = textOf(item['properties']);
  return {
    id: textOf(item['msgid']) ?? '',
    topic: textOf(item['topic']) ?? '',
    clientid: textOf(item['sender']) ?? '',
    username: textOf(item['username']),
    qos: clampQos(numberOf(item['qos']) ?? 0),
    retain: numberOf(item['retain']) === 1,
    payload: outside ?? payloadOf(item),
    publishReceivedAt: publishedAt(item),
    expiresAt: numberOf(item['expires_at']),
    properties: properties === null ? {} : (JSON.parse(properties) as MessageProperties),
  };
}

export const partsIn = (item: Item): number => numberOf(item['parts']) ?? 0;

export function secondsToMs(seconds: number | null): number | null {
  return seconds === null ? null : Math.round(seconds * 1_000);
}

function payloadOf({ payload }: Item): Buffer {
  return bytesOf(payload) ?? Buffer.from(payload?.S ?? payload?.N ?? '');
}

/** Whether people and other readers can use the payload as text. Control characters would only make it larger. */
function isReadable(payload: Buffer): boolean {
  return isUtf8(payload) && !payload.some((byte) => byte < 32 && byte !== 9 && byte !== 10 && byte !== 13);
}
