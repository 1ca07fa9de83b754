/** Everything stored from `first` to `last` is read, but for what came late. */
export interface Range {
  readonly first: string;
  readonly last: string;
}

/**
 * Ranges of ids that don't overlap, and one more that begins where the topic does and ends at `low` ('': it is empty). Ids of different kinds (EMQX 4's
 * and EMQX 5's have different lengths) are in no order of time: a range has ids of one kind.
 */
export class Ranges {
  /** By kind, in order. */
  private readonly kinds = new Map<number, Range[]>();

  constructor(public low = '') {}

  /** Any order. */
  addAll(ranges: readonly Range[]): void {
    for (const range of ranges) this.put(range);
  }

  /** All but the first, by kind and in order. */
  all(): Range[] {
    return [...this.kinds.values()].flat();
  }

  find(id: string): Range | null {
    if (this.isLow(id)) return { first: '', last: this.low };
    const own = this.kinds.get(id.length) ?? [];
    const range = own[countUpTo(own, id) - 1];
    return range !== undefined && id <= range.last ? range : null;
  }

  /** The end of the last range that ends before the id, '' being one (the topic's beginning); null: there is none. */
  endBefore(id: string): string | null {
    const own = this.kinds.get(id.length) ?? [];
    const range = own[countUpTo(own, id) - 1];
    if (range !== undefined && range.last < id) return range.last;
    return this.low < id ? this.low : null;
  }

  /** The smallest end behind the id, and where its range begins; null: no range ends behind it. */
  after(id: string): Range | null {
    const found: Range[] = this.low > id ? [{ first: '', last: this.low }] : [];
    for (const own of this.kinds.values()) {
      const count = countUpTo(own, id);
      const range = [own[count - 1], own[count]].find((each) => each !== undefined && each.last > id);
      if (range !== undefined) found.push(range);
    }
    return found.reduce<Range | null>((least, each) => (least === null || each.first < least.first ? each : least), null);
  }

  /**
   * Nothing stored that is unread lies between `end`, at which a range ends, and the id. null: nothing is known of what lies before the id.
   * @returns where the range ends that has the id now.
   */
  join(end: string | null, id: string): string {
    const { first, last } = this.find(id) ?? { first: id, last: id };
    if (first === '') return last;
    const grows = end === null || (end !== '' && end.length !== id.length) ? null : end === this.low ? '' : (this.find(end)?.first ?? null);
    if (grows === '') this.raise(last);
    else this.put({ first: grows ?? first, last });
    return last;
  }

  keep(isKept: (range: Range) => boolean): void {
    for (const [kind, own] of this.kinds) this.kinds.set(kind, own.filter(isKept));
  }

  private isLow(id: string): boolean {
    return this.low !== '' && id.length === this.low.length && id <= this.low;
  }

  private raise(last: string): void {
    this.low = last;
    this.kinds.set(
      last.length,
      this.kind(last).filter((each) => each.last > last),
    );
  }

  /** In place of those that lie in it: what was stored in them may be removed, so that nobody met them. */
  private put(range: Range): void {
    const own = this.kind(range.last);
    let at = countUpTo(own, range.first);
    if (at > 0 && (own[at - 1] as Range).last >= range.first) at--;
    let { first, last } = range;
    let count = 0;
    for (; at + count < own.length && (own[at + count] as Range).first <= last; count++) {
      const each = own[at + count] as Range;
      first = each.first < first ? each.first : first;
      last = each.last > last ? each.last : last;
    }
    own.splice(at, count, { first, last });
  }

  private kind(id: string): Range[] {
    const own = this.kinds.get(id.length) ?? [];
    this.kinds.set(id.length, own);
    return own;
  }
}

/** How many of the ranges begin at the id or before it. */
function countUpTo(ranges: readonly Range[], id: string): number {
  let [from, to] = [0, ranges.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if ((ranges[middle] as Range).first <= id) from = middle + 1;
    else to = middle;
  }
  return from;
}
