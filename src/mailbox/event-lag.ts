/** The greatest delay counts for one to two seconds, the smallest for five to ten minutes (ms). */
const RECENT_MS = 1_000;
const LONG_MS = 300_000;

/** The greatest or smallest value of two consecutive windows. Older values are forgotten. */
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

  /** null if there was no value. */
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
 * How much longer events take from EMQX to the server at the moment than at their best. An acknowledgement may be late
 * by this much. A difference between the two clocks cancels out, because both values contain it.
 */
export class EventLag {
  private readonly greatest = new Extreme(RECENT_MS, Math.max);
  private readonly least = new Extreme(LONG_MS, Math.min);

  /**
   * @param at when EMQX fired the event (ms, EMQX's clock).
   * @param now ms, the server's clock.
   */
  note(at: number, now: number): void {
    this.greatest.note(now - at, now);
    this.least.note(now - at, now);
  }

  /** The current lag in ms. */
  current(now: number): number {
    return Math.max(0, (this.greatest.of(now) ?? 0) - (this.least.of(now) ?? 0));
  }
}
