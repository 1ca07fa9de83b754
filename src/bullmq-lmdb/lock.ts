/** The lock of an active job. */
export interface Lock {
  /** null if the job was taken without a lock. */
  readonly token: string | null;
  /** When the lock expires (ms). */
  readonly until: number;
  /** The queue's count of takes when the job became active: the order in which jobs became active. */
  readonly take: number;
  /** True if the last check for stalled jobs has seen the lock and nobody has renewed it since. */
  readonly isMarked: boolean;
}

const FIXED_BYTES = 8 + 8 + 1 + 2;

export function encodeLock({ token, until, take, isMarked }: Lock): Buffer {
  const length = token === null ? 0 : Buffer.byteLength(token);
  const bytes = Buffer.allocUnsafe(FIXED_BYTES + length);
  bytes.writeDoubleBE(until, 0);
  bytes.writeDoubleBE(take, 8);
  bytes[16] = (isMarked ? 1 : 0) + (token === null ? 2 : 0);
  bytes.writeUInt16BE(length, 17);
  if (token !== null) bytes.write(token, FIXED_BYTES);
  return bytes;
}

export function decodeLock(bytes: Buffer): { lock: Lock; end: number } {
  const end = FIXED_BYTES + bytes.readUInt16BE(17);
  const flags = bytes[16] as number;
  const token = (flags & 2) === 0 ? bytes.toString('utf8', FIXED_BYTES, end) : null;
  return { lock: { token, until: bytes.readDoubleBE(0), take: bytes.readDoubleBE(8), isMarked: (flags & 1) === 1 }, end };
}

/** The token that holds the lock now; undefined if none does. */
export function holder(lock: Lock | null, now: number): string | undefined {
  return lock === null || lock.token === null || lock.until <= now ? undefined : lock.token;
}
