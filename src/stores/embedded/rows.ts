import type { Message, MessageProperties, QoS } from '../../mqtt/message';

/** expiresAt (Infinity if it never expires) and publishReceivedAt, as doubles. */
const HEADER_BYTES = 16;
/** The length of the JSON, which follows. */
const LENGTH_BYTES = 4;
/**
 * Longer messages keep their body separately. LMDB puts values of more than 2,038 bytes on pages of their own and
 * copies values whole, so listing ids would copy all payloads.
 */
const MOST_ROW_BYTES = 1_200;

type Fields = readonly [clientid: string, username: string | null, qos: QoS, retain: 0 | 1, properties?: MessageProperties];

/** A message as bytes: the header, then the body. Its id and topic are in keys. */
export function toBytes({ clientid, username, qos, retain, payload, publishReceivedAt, expiresAt, properties }: Message): Buffer {
  let isPlain = true;
  for (const _ in properties) isPlain = false;
  const fields: Fields = isPlain ? [clientid, username, qos, retain ? 1 : 0] : [clientid, username, qos, retain ? 1 : 0, properties];
  const json = JSON.stringify(fields);
  const length = Buffer.byteLength(json);
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + LENGTH_BYTES + length + payload.length);
  bytes.writeDoubleBE(expiresAt ?? Infinity, 0);
  bytes.writeDoubleBE(publishReceivedAt, 8);
  bytes.writeUInt32BE(length, HEADER_BYTES);
  bytes.write(json, HEADER_BYTES + LENGTH_BYTES);
  bytes.set(payload, HEADER_BYTES + LENGTH_BYTES + length);
  return bytes;
}

/** The row, which lists read, includes a short body. A long body is stored separately. */
export function split(bytes: Buffer): { readonly row: Buffer; readonly body: Buffer | null } {
  if (bytes.length <= MOST_ROW_BYTES) return { row: bytes, body: null };
  return { row: bytes.subarray(0, HEADER_BYTES), body: bytes.subarray(HEADER_BYTES) };
}

/** undefined if the body is stored separately. */
export function bodyOf(row: Buffer): Buffer | undefined {
  return row.length > HEADER_BYTES ? row.subarray(HEADER_BYTES) : undefined;
}

/** Infinity if the message never expires. */
export const expiresAt = (row: Buffer): number => row.readDoubleBE(0);
export const publishReceivedAt = (row: Buffer): number => row.readDoubleBE(8);

export function toMessage(id: string, topic: string, row: Buffer, body: Buffer): Message {
  const end = LENGTH_BYTES + body.readUInt32BE(0);
  const [clientid, username, qos, retain, properties = {}] = JSON.parse(body.toString('utf8', LENGTH_BYTES, end)) as Fields;
  const expires = expiresAt(row);
  return {
    id,
    topic,
    clientid,
    username,
    qos,
    retain: retain === 1,
    payload: body.subarray(end),
    publishReceivedAt: publishReceivedAt(row),
    expiresAt: expires === Infinity ? null : expires,
    properties,
  };
}
