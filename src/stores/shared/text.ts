import { isUtf8 } from 'node:buffer';

/** Whether a payload can stand in a column or field of text: most databases and readers take neither U+0000 nor what is not UTF-8. */
export function fitsText(payload: Buffer): boolean {
  return isUtf8(payload) && !payload.includes(0);
}
