import { isTimed } from '../../mqtt/message-id';

/**
 * Ids as short text. EMQX's ids (32 hex digits) are a time, the publisher (a process of EMQX) and a counter, so those of a moment begin alike:
 *
 *     "ID"              one id
 *     "ID,TAIL,TAIL"    each tail takes the place of the end of the id before it
 *     "ID/TAIL/TAIL"    all are of one publisher, and the tails are of time and counter alone
 *
 * 1,000 ids of a publisher within 0.2 s have 8 KB in place of 33. Pure functions.
 */

/** Ids in one text: a column's value may be limited (Cassandra's lists: 64 KB). */
const MOST = 500;
/** Fewer of one publisher are written with those of others. */
const FEW = 3;

/** Any order, each once. */
export function writeIds(ids: readonly string[]): string[] {
  const sorted = [...ids].sort();
  const others = sorted.filter((id) => !isTimed(id));
  const byPublisher = new Map<string, string[]>();
  for (const id of sorted) {
    if (!isTimed(id)) continue;
    const own = byPublisher.get(publisherOf(id));
    if (own === undefined) byPublisher.set(publisherOf(id), [id]);
    else own.push(id);
  }
  const groups = [...byPublisher.values()];
  const few = groups
    .filter(({ length }) => length < FEW)
    .flat()
    .sort();
  const many = groups.filter(({ length }) => length >= FEW);
  return [
    ...others,
    ...chunks(few).map((own) => write(own, ',', same)),
    ...many.flatMap((own) => chunks(own).map((part) => write(part, '/', withoutPublisher))),
  ];
}

export function readIds(text: string): string[] {
  const isOfOne = text.includes('/');
  const [first = '', ...tails] = text.split(isOfOne ? '/' : ',');
  const ids = [first];
  let last = isOfOne ? withoutPublisher(first) : first;
  for (const tail of tails) {
    last = last.slice(0, last.length - tail.length) + tail;
    ids.push(isOfOne ? last.slice(0, 16) + publisherOf(first) + last.slice(16) : last);
  }
  return ids;
}

/** What sorts before all of EMQX's ids of this time (ms) and later, and after those of before. */
export function floorOf(time: number): string {
  return Number.isFinite(time) && time > 0 ? (BigInt(Math.floor(time)) * 1000n).toString(16).toUpperCase().padStart(16, '0') : '';
}

function write(ids: readonly string[], separator: string, short: (id: string) => string): string {
  const texts = ids.map(short);
  const tails = texts.slice(1).map((text, i) => text.slice(sharedLength(text, texts[i] ?? '')));
  return [ids[0], ...tails].join(separator);
}

function sharedLength(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length++;
  return length;
}

function chunks(ids: readonly string[]): string[][] {
  return Array.from({ length: Math.ceil(ids.length / MOST) }, (_, i) => ids.slice(i * MOST, (i + 1) * MOST));
}

const publisherOf = (id: string): string => id.slice(16, 28);
const withoutPublisher = (id: string): string => id.slice(0, 16) + id.slice(28);
const same = (id: string): string => id;
