import type { Message, MessageProperties, QoS } from '../../mqtt/message';

/** expiresAt (Infinity if it never expires) and publishReceivedAt, as doubles. */
export const HEADER_BYTES = 16;
/** The length of the JSON, which follows. */
const LENGTH_BYTES = 4;
/**
 * Longer messages keep their body separately. LMDB puts values of more than 2,038 bytes on pages of their own and
 * copies values whole, so listing ids would copy all payloads.
 */
const MOST_ROW_BYTES = 1_200;

type Fields = readonly [clientid: string, username: string | null, qos: QoS, retain: 0 | 1, properties?: MessageProperties];

/**
 * A message as bytes: the header, then the body. Its id and topic are in keys.
 * @param room how many bytes the caller needs before the header.
 */
export function toBytes({ clientid, username, qos, retain, payload, publishReceivedAt, expiresAt, properties }: Message, room = 0): Buffer {
  let isPlain = true;
  for (const _ in properties) isPlain = false;
  const fields: Fields = isPlain ? [clientid, username, qos, retain ? 1 : 0] : [clientid, username, qos, retain ? 1 : 0, properties];
  const json = JSON.stringify(fields);
  const length = Buffer.byteLength(json);
  const bytes = Buffer.allocUnsafe(room + HEADER_BYTES + LENGTH_BYTES + length + payload.length);
  bytes.writeDoubleBE(expiresAt ?? Infinity, room);
  bytes.writeDoubleBE(publishReceivedAt, room + 8);
  bytes.writeUInt32BE(length, room + HEADER_BYTES);
  bytes.write(json, room + HEADER_BYTES + LENGTH_BYTES);
  bytes.set(payload, room + HEADER_BYTES + LENGTH_BYTES + length);
  return bytes;
}

/**
 * The row includes a short body. A long body is stored separately.
 * @param room how many bytes precede the header. They stay before the row.
 */
export function split(bytes: Buffer, room: number): { readonly row: Buffer; readonly body: Buffer | null } {
  const end = room + HEADER_BYTES;
  return bytes.length - room <= MOST_ROW_BYTES ? { row: bytes, body: null } : { row: bytes.subarray(0, end), body: bytes.subarray(end) };
}

/** Whether the row has the message's body. */
export const hasBodyInside = (row: Buffer, room = 0): boolean => row.length > room + HEADER_BYTES;

/** Infinity if the message never expires. */
export const expiresAt = (row: Buffer, room = 0): number => row.readDoubleBE(room);
export const publishReceivedAt = (row: Buffer, room = 0): number => row.readDoubleBE(room + 8);

/** The header of a message's row. */
export function toHeader(times: { readonly expiresAt: number; readonly publishReceivedAt: number }): Buffer {
  const header = Buffer.allocUnsafe(HEADER_BYTES);
  header.writeDoubleBE(times.expiresAt, 0);
  header.writeDoubleBE(times.publishReceivedAt, 8);
  return header;
}

/**
 * The message of a row. The payload is copied out of the row, which the caller's next read may overwrite. Nothing else is
 * cut out, because that takes more time than the rest.
 * @param room how many bytes precede the row's header.
 * @param body null if it is inside the row.
 */
export function toMessage(id: string, topic: string, row: Buffer, room: number, body: Buffer | null): Message {
  const bytes = body ?? row;
  const start = (body === null ? room + HEADER_BYTES : 0) + LENGTH_BYTES;
  const end = start + bytes.readUInt32BE(start - LENGTH_BYTES);
  const [clientid, username, qos, retain, properties = {}] = JSON.parse(bytes.toString('utf8', start, end)) as Fields;
  const expires = expiresAt(row, room);
  return {
    id,
    topic,
    clientid,
    username,
    qos,
    retain: retain === 1,
    payload: body === null ? Buffer.from(bytes.subarray(end, bytes.length)) : bytes.subarray(end),
    publishReceivedAt: publishReceivedAt(row, room),
    expiresAt: expires === Infinity ? null : expires,
    properties,
  };
}
