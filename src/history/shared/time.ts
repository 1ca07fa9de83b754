import { createHash } from 'node:crypto';
import type { Message } from '../../mqtt/message';

/** If an id's time differs from the time of receipt by more than this (ms), the id does not begin with a time. */
const MAX_DISTANCE_MS = 60_000;

const EMQX_ID = /^(?<microseconds>[0-9A-F]{16})(?<process>[0-9A-F]{12})(?<sequence>[0-9A-F]{4})$/;

/**
 * When a message was published. It is always the same for the same message, so that a point that is written again
 * replaces itself.
 */
export interface MessageTime {
  /** ns since 1970. EMQX's ids begin with microseconds; for other ids the time is known only in milliseconds. */
  readonly time: bigint;
  /**
   * Less than the precision of `time`. `time + tie` distinguishes messages of one series: always those of one publisher
   * with the same microsecond (up to 1,000), others nearly always.
   */
  readonly tie: bigint;
}

export function timeOf({ id, publishReceivedAt }: Message): MessageTime {
  const parts = EMQX_ID.exec(id)?.groups;
  const microseconds = BigInt(`0x${parts?.['microseconds'] ?? '0'}`);
  if (parts !== undefined && Math.abs(Number(microseconds / 1_000n) - publishReceivedAt) <= MAX_DISTANCE_MS) {
    // EMQX counts the messages of each of its processes.
    const sequence = BigInt(`0x${parts['sequence']}`);
    return { time: microseconds * 1_000n, tie: (spread(parts['process'] ?? '') + sequence) % 1_000n };
  }
  return { time: BigInt(publishReceivedAt) * 1_000_000n, tie: spread(id) % 1_000_000n };
}

function spread(text: string): bigint {
  return createHash('sha256').update(text).digest().readBigUInt64BE();
}

/**
 * @returns ns for a device's time, which may be in seconds, ms, µs or ns since 1970; the unit follows from the size.
 * null if it is not a number.
 */
export function toNanoseconds(value: unknown): bigint | null {
  const number = typeof value === 'bigint' ? value : wholeNanoseconds(value);
  return number === null || number > MAX_TIME || number < -MAX_TIME ? null : number;
}

/** The limit of InfluxDB, which is the narrowest: the year 2262. */
const MAX_TIME = 9_223_372_036_854_775_805n;

/** From each limit on a number is in the next smaller unit: 1e11 s is the year 5138, 1e11 ms is 1973. */
const SCALES: readonly (readonly [below: number, factor: bigint])[] = [
  [1e11, 1_000_000_000n],
  [1e14, 1_000_000n],
  [1e17, 1_000n],
  [Infinity, 1n],
];

function wholeNanoseconds(value: unknown): bigint | null {
  // A text keeps digits beyond the 15 of a double.
  const digits = typeof value === 'string' && /^-?\d{1,19}$/.test(value.trim()) ? BigInt(value.trim()) : null;
  const number = digits === null ? numberOf(value) : Number(digits);
  if (number === null) return null;
  const factor = SCALES.find(([below]) => Math.abs(number) < below)?.[1] ?? 1n;
  if (digits !== null) return digits * factor;
  const whole = Math.trunc(number);
  return BigInt(whole) * factor + BigInt(Math.round((number - whole) * Number(factor)));
}

/** A number, or a text that is a number in JSON's notation. null otherwise, and if no double can hold it. */
export function numberOf(value: unknown): number | null {
  const number = typeof value === 'string' && /^\s*-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\s*$/.test(value) ? Number(value) : value;
  if (typeof number === 'bigint') return Number(number);
  return typeof number === 'number' && Number.isFinite(number) ? number : null;
}
