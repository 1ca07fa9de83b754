import { closeSync, existsSync, fstatSync, openSync, readSync, rmSync } from 'node:fs';

const PAGE_BYTES = 4096;
/** LMDB creates a file with two pages, and writes a third one before its first sync. */
const PAGES_BEFORE_SYNC = 3;
/** LMDB's mark, in the first page. */
const MAGIC = { at: 24, value: 0xbeefc0de } as const;
/** The number of the last synced transaction, also in the first page. */
const SYNCED = { from: 2200, to: 2208 } as const;

/**
 * Rejects a file that LMDB did not make, because LMDB would end the process. If the power fails or the process ends
 * while LMDB creates a file, the file is unusable. Nothing was synced to it yet, so it is deleted.
 * @throws Error
 */
export function prepareDataFile(path: string): void {
  if (!existsSync(path)) return;
  const { bytes, header } = beginningOf(path);
  if (bytes === 0) return;
  const isOwn = header.length >= MAGIC.at + 4 && header.readUInt32LE(MAGIC.at) === MAGIC.value;
  const isUnsynced =
    bytes <= PAGES_BEFORE_SYNC * PAGE_BYTES && (isOwn || isZero(header)) && isZero(header.subarray(SYNCED.from, SYNCED.to));
  if (isUnsynced) rmSync(path);
  else if (!isOwn || bytes < 2 * PAGE_BYTES) throw new Error('the file is damaged or is not a database of this server');
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
