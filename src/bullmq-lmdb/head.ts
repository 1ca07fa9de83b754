/** The state of a queue as a whole, in one small record. A work function reads it, changes it, and saves it. */
export interface Head {
  /** The queue's number, with which its keys begin. */
  queue: number;
  /** Counts the jobs that were added, including those that existed already. */
  counter: number;
  /** Counts the jobs that were taken. */
  takes: number;
  waiting: number;
  /** How many waiting jobs are at another place than the one that their number tells. */
  moved: number;
  active: number;
  delayed: number;
  completed: number;
  failed: number;
  paused: boolean;
  /** How many jobs may be active; null if there is no limit. */
  concurrency: number | null;
}

const NUMBERS = ['queue', 'counter', 'takes', 'waiting', 'moved', 'active', 'delayed', 'completed', 'failed'] as const;
const FIELD_BYTES = 8;

export function newHead(queue: number): Head {
  return {
    queue,
    counter: 0,
    takes: 0,
    waiting: 0,
    moved: 0,
    active: 0,
    delayed: 0,
    completed: 0,
    failed: 0,
    paused: false,
    concurrency: null,
  };
}

export function encodeHead(head: Head): Buffer {
  const bytes = Buffer.allocUnsafe((NUMBERS.length + 1) * FIELD_BYTES + 1);
  for (let i = 0; i < NUMBERS.length; i++) bytes.writeDoubleBE(head[NUMBERS[i] as (typeof NUMBERS)[number]], i * FIELD_BYTES);
  bytes.writeDoubleBE(head.concurrency ?? -1, NUMBERS.length * FIELD_BYTES);
  bytes[bytes.length - 1] = head.paused ? 1 : 0;
  return bytes;
}

export function decodeHead(bytes: Buffer): Head {
  const head = newHead(0);
  for (let i = 0; i < NUMBERS.length; i++) head[NUMBERS[i] as (typeof NUMBERS)[number]] = bytes.readDoubleBE(i * FIELD_BYTES);
  const concurrency = bytes.readDoubleBE(NUMBERS.length * FIELD_BYTES);
  head.concurrency = concurrency < 0 ? null : concurrency;
  head.paused = bytes[bytes.length - 1] === 1;
  return head;
}

export function isPausedOrMaxed(head: Head): boolean {
  return head.paused || isMaxed(head);
}

export function isMaxed({ concurrency, active }: Head): boolean {
  return concurrency !== null && active >= concurrency;
}
