import { closeSync, existsSync, fstatSync, openSync, readSync, rmSync } from 'node:fs';

const PAGE_BYTES = 4096;
/** LMDB makes a file with two pages and writes a third before it syncs it for the first time. */
const PAGES_BEFORE_SYNC = 3;
/** In the first page. */
const MAGIC = { at: 24, value: 0xbeefc0de } as const;
/** There, too: the number of the transaction that was synced last. */
const SYNCED = { from: 2200, to: 2208 } as const;

/**
 * LMDB ends the process where a file is not one of its own: that is refused here. If the power fails, or the process ends, while LMDB makes a file, it leaves one
 * behind that it can't go on with. Nothing was synced of that, so it is deleted. @throws Error
 */
export function prepareDataFile(path: string): void {
  if (!existsSync(path)) return;
  const { bytes, header } = beginningOf(path);
  if (bytes === 0) return;
  const isOwn = header.length >= MAGIC.at + 4 && header.readUInt32LE(MAGIC.at) === MAGIC.value;
  const isUnsynced =
    bytes <= PAGES_BEFORE_SYNC * PAGE_BYTES && (isOwn || isZero(header)) && isZero(header.subarray(SYNCED.from, SYNCED.to));
  if (isUnsynced) rmSync(path);
  else if (!isOwn || bytes < 2 * PAGE_BYTES) throw new Error('it is damaged, or no database of this server');
}

function isZero(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0);
}

function beginningOf(path: string): { readonly bytes: number; readonly header: Buffer } {
  const descriptor = openSync(path, 'r+');
  try {
    const header = Buffer.alloc(PAGE_BYTES);
    return { header: header.subarray(0, readSync(descriptor, header)), bytes: fstatSync(descriptor).size };
  } finally {
    closeSync(descriptor);
  }
}
