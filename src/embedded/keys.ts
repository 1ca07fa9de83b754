/** Keys are bytes that LMDB sorts as unsigned numbers: UTF-8 text is in the order of its code points, and so are numbers of a fixed length. */

/** A number from 0 to 2^48 - 1, in 6 bytes. Times (ms) fit in. */
export const NUMBER_BYTES = 6;

/** @throws RangeError for a number that does not fit. */
export function numberKey(value: number): Buffer {
  const key = Buffer.allocUnsafe(NUMBER_BYTES);
  key.writeUIntBE(value, 0, NUMBER_BYTES);
  return key;
}

export function readNumber(key: Buffer, offset = 0): number {
  return key.readUIntBE(offset, NUMBER_BYTES);
}

/** What a key of several texts has between them: MQTT knows no U+0000, so that it ends a text before any other sign. */
const END = Buffer.from([0]);

/** A key of several parts: texts end with a zero byte, buffers and numbers have a known length. */
export function keyOf(...parts: readonly (string | number | Buffer)[]): Buffer {
  return Buffer.concat(
    parts.flatMap((part) => (typeof part === 'string' ? [Buffer.from(part), END] : [typeof part === 'number' ? numberKey(part) : part])),
  );
}

/** The texts of a key, from `offset` on. */
export function textsOf(key: Buffer, offset = 0): string[] {
  return key.toString('utf8', offset, key.length - 1).split('\0');
}

/** The first key behind all that begin with the prefix; null: there is none. */
export function afterPrefix(prefix: Buffer): Buffer | null {
  for (let last = prefix.length - 1; last >= 0; last--) {
    const byte = prefix[last] as number;
    if (byte < 0xff) return Buffer.concat([prefix.subarray(0, last), Buffer.from([byte + 1])]);
  }
  return null;
}
