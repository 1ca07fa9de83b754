import { closeSync, existsSync, fstatSync, openSync, readSync, rmSync } from 'node:fs';

const PAGE_BYTES = 4096;
/** LMDB makes a file with two pages and writes a third before it syncs it for the first time. */
const PAGES_BEFORE_SYNC = 3;
/** In the first page. */
const MAGIC = { at: 24, value: 0xbeefc0de } as const;

/**
 * LMDB ends the process where a file is not one of its own: that is refused here. It leaves such a file behind itself if the power fails while it makes it.
 * Nothing is in that, so it is deleted. @throws Error
 */
export function prepareDataFile(path: string): void {
  if (!existsSync(path)) return;
  const { bytes, header } = beginningOf(path);
  const isOwn = header.length >= MAGIC.at + 4 && header.readUInt32LE(MAGIC.at) === MAGIC.value;
  if (bytes === 0 || (isOwn && bytes >= 2 * PAGE_BYTES)) return;
  const isUnfinished = bytes <= PAGES_BEFORE_SYNC * PAGE_BYTES && (isOwn || header.every((byte) => byte === 0));
  if (!isUnfinished) throw new Error('it is damaged, or no database of this server');
  rmSync(path);
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
