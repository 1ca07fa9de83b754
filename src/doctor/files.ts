import { statfs } from 'node:fs/promises';
import { fileSize, type Environment } from '../embedded/environment';
import { ok, problem, type Finding } from './finding';

/** A disk with less free space than one of these (bytes, or a share of the disk) will soon be full. */
const LEAST_BYTES = 200e6;
const LEAST_SHARE = 0.05;

/** The size of a disk in bytes. */
export interface Disk {
  readonly total: number;
  /** The bytes that the user of this process may use. */
  readonly free: number;
}

/**
 * Checks the file of the embedded database, and its disk.
 * @param environment null if a running server uses the database. Then the free space inside the file is not known.
 */
export async function checkFiles(
  directory: string,
  environment: Pick<Environment, 'size'> | null,
  diskOf: (directory: string) => Promise<Disk> = diskAt,
): Promise<Finding[]> {
  const size = environment?.size() ?? { file: fileSize(directory), free: null };
  if (size.file === null) return [];
  const free = size.free === null ? '' : `, ${bytesText(size.free)} of it free for new data`;
  return [ok('embedded', `data.mdb has ${bytesText(size.file)}${free}`), findingOf(await diskOf(directory))];
}

function findingOf({ total, free }: Disk): Finding {
  const text = `the disk of DATA_DIR has ${bytesText(free)} free (${Math.floor((100 * free) / total)} %)`;
  if (free >= LEAST_BYTES && free >= LEAST_SHARE * total) return ok('disk', text);
  return problem(
    'disk',
    `${text}: when it is full, every event gets 503 and waits in EMQX`,
    'free space on it, or stop the server and move DATA_DIR to a larger one',
  );
}

async function diskAt(directory: string): Promise<Disk> {
  const { bsize, blocks, bavail } = await statfs(directory);
  return { total: bsize * blocks, free: bsize * bavail };
}

function bytesText(bytes: number): string {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
