/** Which events this process has accepted: somebody who has just installed the rules wants to see the first one. */
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

  /** When the newest event was accepted (ms); null: there was none. */
  get lastAt(): number | null {
    return this.last;
  }
}
