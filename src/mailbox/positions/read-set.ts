import type { Position } from '../../stores/store';
import type { Message } from '../../mqtt/message';
import { before, isTimed, timeOf } from '../../mqtt/message-id';
import { TOMBSTONE_MS } from '../times';

/** An entry has about 35 bytes, and DynamoDB takes 400 KB. Beyond it the oldest are forgotten: a repeat, never a loss. */
const MOST_READ = 6_000;
const MOST_RANGES = 2_000;
const MOST_LATE = 1_000;

/** Everything stored from `first` to `last` is read, but for what came late. */
interface Range {
  readonly first: string;
  last: string;
}

type Stored = Pick<Message, 'id' | 'publishReceivedAt'>;

/**
 * What a consumer has read of a topic: a position's `id` and `receipts` as a set.
 *
 *     id            everything stored up to it is read
 *     "ID"          read
 *     "ID..ID"      these two are read, and everything stored between them
 *     "+ID"         read, and a range covers it; to be forgotten soon
 *     "!ID"         not read, although `id` or a range covers it: it was stored late (promise 17)
 *     ">ID@TIME"    announced at this time: `id` and ranges may be extended up to this one
 *     "@TIME"       when the consumer was seen last
 *     "^TIME"       what was published until then counts as read (policy from: now)
 *
 * Ids hold none of these characters. Of a consumer that acknowledges everything little more than `id` is left; one that leaves gaps has a
 * range between two of them, however long that is.
 */
export class ReadSet {
  private readonly read = new Set<string>();
  private readonly absorbed = new Set<string>();
  private readonly late = new Set<string>();
  /** The first begins where the topic does: its end is the position's `id`. */
  private ranges: Range[] = [];
  announced: { readonly id: string; readonly at: number } | null = null;
  /** null: never by us, as in a position that EMQX's own plugin left. */
  seenAt: number | null = null;
  startsAt: number | null = null;

  constructor(
    readonly consumer: string,
    readonly topic: string,
    low = '',
  ) {
    this.ranges.push({ first: '', last: low });
  }

  static of({ consumer, topic, id, receipts }: Position): ReadSet {
    const set = new ReadSet(consumer, topic, id);
    for (const entry of receipts) set.take(entry);
    return set;
  }

  private take(entry: string): void {
    const rest = entry.slice(1);
    const [first = '', last] = entry.split('..');
    if (last !== undefined) this.ranges.push({ first, last });
    else if (entry.startsWith('+')) this.absorbed.add(rest);
    else if (entry.startsWith('!')) this.late.add(rest);
    else if (entry.startsWith('@')) this.seenAt = Number(rest);
    else if (entry.startsWith('^')) this.startsAt = Number(rest);
    else if (entry.startsWith('>')) this.announced = { id: rest.split('@')[0] ?? '', at: Number(rest.split('@')[1]) };
    else this.read.add(entry);
  }

  toPosition(): Position {
    const [, ...ranges] = this.ranges;
    const receipts = [
      ...(this.seenAt === null ? [] : [`@${this.seenAt}`]),
      ...(this.startsAt === null ? [] : [`^${this.startsAt}`]),
      ...(this.announced === null ? [] : [`>${this.announced.id}@${this.announced.at}`]),
      ...[...this.absorbed].map((id) => `+${id}`),
      ...[...this.late].map((id) => `!${id}`),
      ...ranges.map(({ first, last }) => (first === last ? first : `${first}..${last}`)),
      ...this.read,
    ];
    return { consumer: this.consumer, topic: this.topic, id: this.low.last, receipts: [...new Set(receipts)] };
  }

  has({ id, publishReceivedAt }: Stored): boolean {
    if (this.read.has(id) || this.absorbed.has(id)) return true;
    if (this.late.has(id)) return false;
    return this.rangeOf(id) !== null || (this.startsAt !== null && publishReceivedAt <= this.startsAt);
  }

  /** Also where a range covers it: when the acknowledgement comes before the message, only this will tell that it is read. */
  add(id: string): void {
    this.late.delete(id);
    this.read.add(id);
  }

  /** Whether a message that is stored from now on could be taken for one that is read. */
  hides(id: string): boolean {
    return this.ranges.some(({ first, last }) => first <= id && id <= last) || (this.announced !== null && id <= this.announced.id);
  }

  /** The message is about to be stored: ranges don't mean it. */
  addLate(id: string): void {
    if (!this.read.has(id) && !this.absorbed.has(id)) this.late.add(id);
  }

  get hasAbsorbed(): boolean {
    return this.absorbed.size > 0;
  }

  /** Everything that was told of late messages before ranges covered them has been taken in. */
  forgetAbsorbed(): void {
    this.absorbed.clear();
  }

  /** Everything after `after` and up to the result is read. */
  skip(after: string): string {
    const range = this.ranges.find(({ first, last }) => first <= after && after < last && isTimed(last));
    if (range === undefined) return after;
    const late = least([...this.late].filter((id) => id > after && id <= range.last));
    return late === null ? range.last : greater(after, before(late));
  }

  /** What is read and in no range. */
  loose(): string[] {
    return [...this.read].filter((id) => this.rangeOf(id) === null);
  }

  /**
   * Makes ranges of what is read in a row, up to `until`. What is unread is stepped over without reading all of it, so that a long backlog
   * costs nothing. `list` gives what is stored after an id, in order; it is called at most `pages` times.
   */
  async compact(list: (after: string) => Promise<readonly Stored[]>, until: string, pages: number): Promise<void> {
    let range: Range | null = this.low;
    let after = this.low.last;
    for (let page = 0; page < pages; page++) {
      const stored = await list(after);
      if (stored.length === 0) return;
      for (const message of stored) {
        if (message.id > until) return;
        if (message.id <= after) continue;
        if (this.has(message)) {
          range = this.grow(range, message.id);
          after = range.last;
        } else {
          const next = least(this.loose().filter((id) => id > message.id));
          if (next === null || next > until) return;
          // On from the range before it, if it is on this side of the gap.
          range = this.ranges.reduce<Range | null>((last, each) => (each.last > message.id && each.last < next && each.last > (last?.last ?? '') ? each : last), null);
          after = range?.last ?? greater(message.id, before(next));
        }
      }
    }
  }

  private grow(range: Range | null, id: string): Range {
    const known = this.rangeOf(id);
    if (this.read.delete(id)) this.absorbed.add(id);
    // Ids of different kinds are in no order of time: a range has ids of one kind.
    if (range === null || (range.last !== '' && range.last.length !== id.length)) {
      const grown = known ?? { first: id, last: id };
      if (known === null) this.ranges.push(grown);
      return grown;
    }
    range.last = known?.last ?? id;
    if (known !== null && known !== range) this.ranges = this.ranges.filter((each) => each !== known);
    return range;
  }

  private get low(): Range {
    return this.ranges[0] as Range;
  }

  private rangeOf(id: string): Range | null {
    return this.ranges.find(({ first, last }) => first <= id && id <= last && last.length === id.length) ?? null;
  }

  /** Forgets what can't matter any more, and more of it when it is too much. */
  tidy(now: number, ttlMs: number): void {
    const older = (id: string, ms: number) => (timeOf(id) ?? Infinity) < now - ms;
    for (const id of this.read) {
      // In a range only what came early is of use, as long as a tombstone would be.
      if (older(id, ttlMs) || (older(id, TOMBSTONE_MS) && this.rangeOf(id) !== null)) this.read.delete(id);
    }
    for (const id of this.late) if (older(id, ttlMs)) this.late.delete(id);
    if (this.late.size > MOST_LATE) this.stepBack();
    const [low, ...ranges] = this.ranges;
    const kept = ranges.filter(({ last }) => !older(last, ttlMs)).sort((a, b) => (a.first < b.first ? -1 : 1));
    this.ranges = [low as Range, ...kept.slice(-MOST_RANGES)];
    const excess = this.read.size - MOST_READ;
    if (excess > 0) for (const id of [...this.read].sort().slice(0, excess)) this.read.delete(id);
  }

  /** Too much came late to list it: all that ranges cover from the first of it on counts as unread again. */
  private stepBack(): void {
    const first = least([...this.late]) ?? '';
    const { low } = this;
    this.ranges = this.ranges.filter((range) => range === low || range.last < first);
    if (low.last >= first) low.last = isTimed(first) ? before(first) : '';
    this.late.clear();
  }
}

function least(ids: readonly string[]): string | null {
  return ids.reduce<string | null>((found, id) => (found === null || id < found ? id : found), null);
}

const greater = (a: string, b: string): string => (a > b ? a : b);
