/**
 * Counts the events that this process has accepted, so that an operator who has just installed the rules can see
 * whether the first event has arrived.
 */
export class Arrivals {
  private accepted = 0;
  private last: number | null = null;

  constructor(private readonly now: () => number = Date.now) {}

  note(count: number): void {
    if (count === 0) return;
    this.accepted += count;
    this.last = this.now();
  }

  /** How many events were accepted since the start. */
  get count(): number {
    return this.accepted;
  }

  /** When the newest event was accepted (ms); null if no event was accepted since the start. */
  get lastAt(): number | null {
    return this.last;
  }
}
