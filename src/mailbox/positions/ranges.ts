/** Every stored message from `first` to `last` is read, except those that were stored late. */
export interface Range {
  readonly first: string;
  readonly last: string;
}

/**
 * Ranges of ids that don't overlap, and one more range from the topic's beginning to `low` ('' if that range is empty).
 * Ids of different lengths (EMQX 4's and EMQX 5's) have no common order of time, so a range holds ids of one length
 * only.
 */
export class Ranges {
  /** The ranges by the length of their ids, in order. */
  private readonly kinds = new Map<number, Range[]>();

  constructor(public low = '') {}

  /** @param ranges in any order. */
  addAll(ranges: readonly Range[]): void {
    for (const range of ranges) this.put(range);
  }

  /** All ranges except the one that ends at `low`, by length and in order. */
  all(): Range[] {
    return [...this.kinds.values()].flat();
  }

  find(id: string): Range | null {
    if (this.isLow(id)) return { first: '', last: this.low };
    const own = this.kinds.get(id.length) ?? [];
    const range = own[countUpTo(own, id) - 1];
    return range !== undefined && id <= range.last ? range : null;
  }

  /**
   * The end of the last range that ends before the id. '' stands for the topic's beginning. null if there is no such
   * range.
   */
  endBefore(id: string): string | null {
    const own = this.kinds.get(id.length) ?? [];
    const range = own[countUpTo(own, id) - 1];
    if (range !== undefined && range.last < id) return range.last;
    return this.low < id ? this.low : null;
  }

  /** The first range that ends after the id; null if there is none. */
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
   * Takes the id into a range. No stored unread message lies between the id and `end`, where a range ends. If `end` is
   * null, nothing is known of the messages before the id.
   * @returns the end of the range that has the id now.
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

  /**
   * Inserts the range and merges it with those that it overlaps. Ranges may lie in it without having been met, because
   * the messages of their ids were removed.
   */
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

/** How many of the ranges begin at or before the id. */
function countUpTo(ranges: readonly Range[], id: string): number {
  let [from, to] = [0, ranges.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if ((ranges[middle] as Range).first <= id) from = middle + 1;
    else to = middle;
  }
  return from;
}
