/** What a script receives as one argument. */
export type Packable = string | number | Buffer | readonly Packable[];

const SHORT = 32;
const SHORT_HEADERS = Array.from({ length: SHORT }, (_, length) => String.fromCharCode(0xa0 | length));
const LONG_TEXT = 0xdb;
const LIST = 0xdd;

/**
 * Packs values as MessagePack, which scripts unpack with cmsgpack. One argument costs both sides much less than thousands of small ones.
 * A number arrives as text, because that is what Redis' commands take.
 */
export function pack(value: Packable): Buffer {
  return Buffer.from(packed(value), 'latin1');
}

/** A string with a character for each byte: Node.js joins strings much faster than it fills a buffer with small pieces. */
function packed(value: Packable): string {
  if (typeof value === 'string') return packedText(value);
  if (typeof value === 'number') return packedText(String(value));
  if (Buffer.isBuffer(value)) return textHeader(value.length) + value.toString('latin1');
  let list = header(LIST, value.length);
  for (const each of value) list += packed(each);
  return list;
}

function packedText(text: string): string {
  const length = Buffer.byteLength(text);
  // As many bytes as characters: the text is plain ASCII.
  return textHeader(length) + (length === text.length ? text : Buffer.from(text).toString('latin1'));
}

const textHeader = (length: number): string => SHORT_HEADERS[length] ?? header(LONG_TEXT, length);

const header = (type: number, length: number): string =>
  String.fromCharCode(type, length >>> 24, (length >>> 16) & 0xff, (length >>> 8) & 0xff, length & 0xff);
