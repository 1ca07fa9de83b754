import { createHash } from 'node:crypto';

/**
 * The same limit as in EMQX's own tables. A text up to this length is its own key, so that people can read and type it.
 */
const LENGTH = 255;
/** Sorts after every character of a hash. */
const BEHIND_HASHES = '~';

/**
 * The index key of a topic or client id. A text may have 65,535 bytes, more than an index entry should have. So the key
 * of a longer text is its first characters and a hash of the whole text. Different texts never share a key. Keys sort
 * like their texts, except long texts with the same beginning.
 */
export function keyOf(text: string): string {
  if (!isLong(text)) return text;
  return beginOf(text) + createHash('sha256').update(text).digest('base64url');
}

/**
 * The whole of a short text. Counts characters rather than UTF-16 units, because half a character is not a valid text.
 */
export function beginOf(text: string): string {
  return isLong(text) ? [...text].slice(0, LENGTH).join('') : text;
}

/** Whether a text or a key is long; a long key ends with a hash. */
export function isLong(text: string): boolean {
  return text.length > LENGTH && [...text].length > LENGTH;
}

/** An upper limit for the keys of all long texts with this beginning. */
export function endOfAlike(begin: string): string {
  return begin + BEHIND_HASHES;
}
