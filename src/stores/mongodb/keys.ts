import { createHash } from 'node:crypto';

/** As long as EMQX's own tables: what fits there is its own key, to be read and typed by people. */
const LENGTH = 255;
/** Sorts behind every character of a hash. */
const BEHIND_HASHES = '~';

/**
 * What a topic or client id is indexed by. It may have 65,535 bytes, more than an index entry should: of a longer one the first
 * characters and a hash of all. Two different texts never share a key, and keys sort as their texts do, but for those that begin alike.
 */
export function keyOf(text: string): string {
  if (!isLong(text)) return text;
  return beginOf(text) + createHash('sha256').update(text).digest('base64url');
}

/** The whole of a short text. Counts characters, not UTF-16 units: half a character is no text. */
export function beginOf(text: string): string {
  return isLong(text) ? [...text].slice(0, LENGTH).join('') : text;
}

/** Of a text or its key: true when the key ends with a hash. */
export function isLong(text: string): boolean {
  return text.length > LENGTH && [...text].length > LENGTH;
}

/** No key of a text that begins like this long one is greater. */
export function endOfAlike(begin: string): string {
  return begin + BEHIND_HASHES;
}
