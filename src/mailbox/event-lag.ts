/** Of what was seen in the last one to two seconds the greatest counts, of the last five to ten minutes the least. ms. */
const RECENT_MS = 1_000;
const LONG_MS = 300_000;

/** Extremes of two windows that follow each other: what is older than both is forgotten. */
class Extreme {
  private since = -Infinity;
  private before: number | null = null;
  private current: number | null = null;

  constructor(
    private readonly windowMs: number,
    private readonly better: (a: number, b: number) => number,
  ) {}

  note(value: number, now: number): void {
    this.turn(now);
    this.current = this.current === null ? value : this.better(this.current, value);
  }

  /** null: nothing was seen. */
  of(now: number): number | null {
    this.turn(now);
    if (this.before === null || this.current === null) return this.current ?? this.before;
    return this.better(this.before, this.current);
  }

  private turn(now: number): void {
    if (now < this.since + this.windowMs && now >= this.since) return;
    this.before = now < this.since + 2 * this.windowMs ? this.current : null;
    this.current = null;
    this.since = now;
  }
}

/**
 * How much longer events take from EMQX to here at the moment than they do at their best: what an acknowledgement may be late. The difference of the two
 * clocks is in the best, too, and so does not count.
 */
export class EventLag {
  private readonly greatest = new Extreme(RECENT_MS, Math.max);
  private readonly least = new Extreme(LONG_MS, Math.min);

  /** @param at when EMQX fired the event (ms, its clock). */
  note(at: number, now: number): void {
    this.greatest.note(now - at, now);
    this.least.note(now - at, now);
  }

  /** ms */
  current(now: number): number {
    return Math.max(0, (this.greatest.of(now) ?? 0) - (this.least.of(now) ?? 0));
  }
}
