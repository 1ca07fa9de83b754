import { isUtf8 } from 'node:buffer';

/**
 * Whether a payload fits into a text column or field. Most databases and readers accept neither U+0000 nor invalid
 * UTF-8.
 */
export function fitsText(payload: Buffer): boolean {
  return isUtf8(payload) && !payload.includes(0);
}
