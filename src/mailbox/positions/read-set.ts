import { groupBy } from '../../base/parallel';
import type { Position, StoredRef } from '../../stores/store';
import { before, isTimed } from '../../mqtt/message-id';
import { TOMBSTONE_MS } from '../times';
import { floorOf, readIds, writeIds } from './id-list';
import { Ranges, type Range } from './ranges';

/** DynamoDB takes 400 KB for a row. Beyond these the oldest are forgotten: a repeat, never a loss. */
const MOST_READ_BYTES = 120_000;
const MOST_RANGES = 1_000;
const MOST_SINGLES = 2_000;
const MOST_LATE = 2_000;
const MOST_ABSORBED = 1_000;
/** A writer's look after it has stored a message (LateWrites) is told to the consumer well within this time. ms. */
const ABSORBED_MS = 1_000;

/**
 * What a consumer has read of a topic: a position's `id` and `receipts` as a set.
 *
 *     id            everything stored up to it is read
 *     "ID"          read, and not yet looked for among what is stored
 *     "?ID"         read, and not stored when it was looked for: the acknowledgement came first
 *     "ID..ID"      these two are read, and everything stored between them
 *     "=ID"         a range of one
 *     "+TIME:ID"    read, and taken into a range at this time: a writer may call it late all the same
 *     "!ID"         not read, although `id` or a range covers it: it was stored late (promise 17)
 *     "@TIME"       when the consumer was seen last
 *     "^TIME"       what was published until then counts as read (policy from: now)
 *
 * ID is a list as in id-list.ts but in ranges. Ids hold none of these characters. Of a consumer that acknowledges everything little more than `id` is left,
 * and what it acknowledged in the last moment; one that leaves gaps has a range between two of them, however long that is. Older versions left
 * ">ID@TIME" and "+ID", which mean nothing any more.
 */
export class ReadSet {
  /** Read, in no range, and not yet looked for. */
  readonly fresh = new Set<string>();
  private readonly early = new Set<string>();
  /** With the time (ms). */
  private readonly absorbed = new Map<string, number>();
  private readonly late = new Set<string>();
  private readonly ranges: Ranges;
  /** null: never by us, as in a position that EMQX's own plugin left. */
  seenAt: number | null = null;
  startsAt: number | null = null;

  constructor(
    readonly consumer: string,
    readonly topic: string,
    low = '',
  ) {
    this.ranges = new Ranges(low);
  }

  static of({ consumer, topic, id, receipts }: Position): ReadSet {
    const set = new ReadSet(consumer, topic, id);
    for (const entry of receipts) set.take(entry);
    return set;
  }

  private take(entry: string): void {
    const rest = entry.slice(1);
    const [first = '', last] = entry.split('..');
    if (last !== undefined) this.ranges.addAll([{ first, last }]);
    else if (entry.startsWith('=')) this.ranges.addAll(readIds(rest).map((id) => ({ first: id, last: id })));
    else if (entry.startsWith('?')) for (const id of readIds(rest)) this.early.add(id);
    else if (entry.startsWith('!')) for (const id of readIds(rest)) this.late.add(id);
    else if (entry.startsWith('@')) this.seenAt = Number(rest);
    else if (entry.startsWith('^')) this.startsAt = Number(rest);
    else if (entry.startsWith('+')) this.takeAbsorbed(rest);
    else if (!entry.startsWith('>')) for (const id of readIds(entry)) this.fresh.add(id);
  }

  private takeAbsorbed(entry: string): void {
    const [time = '', list] = entry.split(':');
    if (list !== undefined) for (const id of readIds(list)) this.absorbed.set(id, Number(time));
  }

  /** `version` is that of the row when it is written. */
  toPosition(version?: number): Position {
    const ranges = this.ranges.all();
    const byTime = groupBy([...this.absorbed.keys()], (id) => String(this.absorbed.get(id)));
    const receipts = [
      ...(this.seenAt === null ? [] : [`@${this.seenAt}`]),
      ...(this.startsAt === null ? [] : [`^${this.startsAt}`]),
      ...[...byTime].flatMap(([time, ids]) => writeIds(ids).map((list) => `+${time}:${list}`)),
      ...writeIds([...this.late]).map((list) => `!${list}`),
      ...ranges.filter(isWide).map(({ first, last }) => `${first}..${last}`),
      ...writeIds(ranges.filter((range) => !isWide(range)).map(({ first }) => first)).map((list) => `=${list}`),
      ...writeIds([...this.early]).map((list) => `?${list}`),
      ...writeIds([...this.fresh]),
    ];
    return { consumer: this.consumer, topic: this.topic, id: this.ranges.low, receipts, ...(version !== undefined && { version }) };
  }

  /** For people: what is read, by single ids where no range has them. */
  shown(): { low: string; ranges: Range[]; ids: string[]; unread: string[]; seenAt: number | null; startsAt: number | null } {
    const all = this.ranges.all();
    const single = all.filter((range) => !isWide(range)).map(({ first }) => first);
    const outside = [...this.fresh, ...this.early].filter((id) => !this.hides(id));
    const { seenAt, startsAt } = this;
    return {
      low: this.ranges.low,
      ranges: all.filter(isWide),
      ids: [...new Set([...single, ...outside])].sort(),
      unread: [...this.late].sort(),
      seenAt,
      startsAt,
    };
  }

  has({ id, publishReceivedAt }: StoredRef): boolean {
    if (this.isKnown(id) || (this.startsAt !== null && publishReceivedAt <= this.startsAt)) return true;
    return !this.late.has(id) && this.hides(id);
  }

  /** Also where a range covers it: when the acknowledgement comes before the message, only this will tell that it is read. */
  add(id: string, now: number): void {
    if (this.isKnown(id)) return;
    // Its message is stored: a writer has told of it.
    const wasLate = this.late.delete(id);
    if (!this.hides(id)) this.fresh.add(id);
    else if (wasLate) this.absorbed.set(id, now);
    else this.early.add(id);
  }

  /** Whether a message that is stored from now on would be taken for one that is read. */
  hides(id: string): boolean {
    return this.ranges.find(id) !== null;
  }

  /** The message was stored when the consumer's range may have passed it: ranges don't mean it. */
  addLate(id: string, now: number): void {
    if (!this.isKnown(id)) this.late.add(id);
    else if (this.hides(id) && this.early.delete(id)) this.absorbed.set(id, now);
  }

  private isKnown(id: string): boolean {
    return this.fresh.has(id) || this.early.has(id) || this.absorbed.has(id);
  }

  /** Everything after `after` and up to the result is read. */
  skip(after: string): string {
    const range = this.ranges.after(after);
    if (range === null || range.first > after || !isTimed(range.last)) return after;
    const late = least([...this.late].filter((id) => id > after && id <= range.last));
    return late === null ? range.last : greater(after, before(late));
  }

  /** Nothing from `after` to the result is read; null: nothing behind it. What counts as read by its time is not asked. */
  nextRead(after: string): string | null {
    const range = this.ranges.after(after);
    if (range !== null && range.first <= after) return after;
    const next = least(
      [...this.fresh, ...this.early, ...this.absorbed.keys(), ...(range === null ? [] : [range.first])].filter((id) => id > after),
    );
    return next === null ? null : greater(after, before(next));
  }

  /** The end of the last range before the id; '': the topic's beginning; null: none. */
  endBefore(id: string): string | null {
    return this.ranges.endBefore(id);
  }

  /** The message is stored and read, and nothing unread lies between it and `end`, at which a range ends. @returns the end of the range that has it now. */
  cover(end: string | null, id: string, now: number): string {
    if (this.fresh.delete(id) || this.early.delete(id)) this.absorbed.set(id, now);
    return this.ranges.join(end, id);
  }

  /** These were looked for. */
  looked(ids: readonly string[]): void {
    for (const id of ids) if (this.fresh.delete(id)) this.early.add(id);
  }

  /** Forgets what can't matter any more, and more of it when it is too much. */
  tidy(now: number, ttlMs: number): void {
    const [expired, forgotten] = [floorOf(now - ttlMs), floorOf(now - TOMBSTONE_MS)];
    const isExpired = (id: string) => id < expired && isTimed(id);
    for (const id of this.fresh) if (isExpired(id)) this.fresh.delete(id);
    // In a range only what came early is of use, as long as a tombstone would be.
    for (const id of this.early) if (isExpired(id) || (id < forgotten && isTimed(id) && this.hides(id))) this.early.delete(id);
    for (const id of this.late) if (isExpired(id) || !this.hides(id)) this.late.delete(id);
    for (const [id, time] of this.absorbed) if (time < now - ABSORBED_MS || time > now + ABSORBED_MS) this.absorbed.delete(id);
    for (const id of [...this.absorbed.keys()].slice(0, -MOST_ABSORBED)) this.absorbed.delete(id);
    if (this.late.size > MOST_LATE) this.stepBack();
    this.ranges.keep(({ last }) => !isExpired(last));
    this.bound();
  }

  private bound(): void {
    const ranges = this.ranges.all();
    const wide = ranges.filter(isWide);
    const kept = new Set([...wide.slice(-MOST_RANGES), ...ranges.filter((range) => !isWide(range)).slice(-MOST_SINGLES)]);
    if (kept.size < ranges.length) this.ranges.keep((range) => kept.has(range));
    const read = [...this.fresh, ...this.early];
    const bytes = read.length < MOST_READ_BYTES / 40 ? 0 : writeIds(read).join().length;
    if (bytes <= MOST_READ_BYTES) return;
    const count = Math.ceil(read.length * (1 - MOST_READ_BYTES / bytes));
    // Those in ranges first: most of them will never be stored.
    const order = read.map((id) => [this.hides(id) ? 0 : 1, id] as const).sort(([a, x], [b, y]) => a - b || (x < y ? -1 : 1));
    for (const [, id] of order.slice(0, count)) if (!this.fresh.delete(id)) this.early.delete(id);
  }

  /** Too much came late to list it: all that ranges cover from the first of it on counts as unread again. */
  private stepBack(): void {
    const first = least([...this.late]) ?? '';
    this.ranges.keep(({ last }) => last < first);
    if (this.ranges.low >= first) this.ranges.low = isTimed(first) ? before(first) : '';
    this.late.clear();
  }
}

const isWide = ({ first, last }: Range): boolean => first !== last;

function least(ids: readonly string[]): string | null {
  return ids.reduce<string | null>((found, id) => (found === null || id < found ? id : found), null);
}

export const greater = (a: string, b: string): string => (a > b ? a : b);
