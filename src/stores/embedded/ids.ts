import { NUMBER_BYTES } from '../../embedded/keys';

/**
 * The limit of an id. It leaves room in a key of at most 1,978 bytes for a time and a topic's number. The server's own
 * ids are shorter: at most 64 characters.
 */
const MOST_ID_BYTES = 1_024;

/** A message's id as a key, and as a text with one character for each of its bytes, so that texts and keys have one order. */
export interface Id {
  readonly bytes: Buffer;
  readonly text: string;
}

/** null if no message can have this id. */
export function toId(id: string): Id | null {
  const bytes = Buffer.from(id);
  // The text is a new string: the id may be a part of a long string, which the memory of recent messages would keep.
  return bytes.length === 0 || bytes.length > MOST_ID_BYTES ? null : idOfBytes(bytes);
}

export const idOfBytes = (bytes: Buffer): Id => ({ bytes, text: textOf(bytes) });
export const textOf = (bytes: Buffer): string => bytes.toString('latin1');
export const bytesOf = (text: string): Buffer => Buffer.from(text, 'latin1');

/** The part of an id that a key can hold. No stored id is longer, so it has the id's place among the stored ones. */
export const placeOf = (id: string): Buffer => Buffer.from(id).subarray(0, MOST_ID_BYTES);

/** A message's key in the tables that are sorted by topic. */
export function messageKey(topic: number, id: Buffer): Buffer {
  const key = Buffer.allocUnsafe(NUMBER_BYTES + id.length);
  key.writeUIntBE(topic, 0, NUMBER_BYTES);
  id.copy(key, NUMBER_BYTES);
  return key;
}

export const idOf = (key: Buffer): Buffer => key.subarray(NUMBER_BYTES);
