/**
 * LMDB sorts keys as unsigned bytes. So UTF-8 text is sorted by code points, and numbers of a fixed length by value.
 */

/** Numbers from 0 to 2^48 - 1 take 6 bytes, which is enough for times in ms. */
export const NUMBER_BYTES = 6;

/** @throws RangeError if the number is too large. */
export function numberKey(value: number): Buffer {
  const key = Buffer.allocUnsafe(NUMBER_BYTES);
  key.writeUIntBE(value, 0, NUMBER_BYTES);
  return key;
}

export function readNumber(key: Buffer, offset = 0): number {
  return key.readUIntBE(offset, NUMBER_BYTES);
}

/**
 * Ends each text in a key of several texts. MQTT texts contain no U+0000, so a shorter text sorts before a longer one
 * with the same beginning.
 */
const END = Buffer.from([0]);

/** A key of several parts. Texts end with a zero byte; buffers and numbers have a known length. */
export function keyOf(...parts: readonly (string | number | Buffer)[]): Buffer {
  return Buffer.concat(
    parts.flatMap((part) => (typeof part === 'string' ? [Buffer.from(part), END] : [typeof part === 'number' ? numberKey(part) : part])),
  );
}

/** The texts of a key that has nothing else. */
export function textsOf(key: Buffer): string[] {
  return key.toString('utf8', 0, key.length - 1).split('\0');
}

/** The first key after all keys that begin with the prefix; null if there is none. */
export function afterPrefix(prefix: Buffer): Buffer | null {
  for (let last = prefix.length - 1; last >= 0; last--) {
    const byte = prefix[last] as number;
    if (byte < 0xff) return Buffer.concat([prefix.subarray(0, last), Buffer.from([byte + 1])]);
  }
  return null;
}
