import { isPausedOrMaxed, type Head } from './head';

/** What the latest work on a queue left. Work is done in one order, so that a take that comes later sees no less. */
interface Known {
  readonly isTakeable: boolean;
  readonly isPausedOrMaxed: boolean;
  /** When the first of the delayed jobs is due, ms; undefined: there is none. */
  readonly due: number | undefined;
}

/** Wakes those that wait for a job of one queue. All that work on the queue are in this process, so that it is kept in memory. */
export class Signal {
  /** null: nobody has worked on it yet, or work has failed. Then one who asks must look. */
  private known: Known | null = null;
  private readonly waiting = new Set<() => void>();

  update(head: Head, due: number | undefined): void {
    const isBlocked = isPausedOrMaxed(head);
    this.known = { isTakeable: head.waiting > 0 && !isBlocked, isPausedOrMaxed: isBlocked, due };
    this.wake();
  }

  forget(): void {
    this.known = null;
    this.wake();
  }

  /** All of them: one that is woken may end before it takes a job. */
  private wake(): void {
    for (const look of [...this.waiting]) look();
  }

  /** When a take that finds nothing now is worth while again; null: it may find something now. 0: unknown, when something is added. */
  nothingUntil(now: number): number | null {
    if (this.known === null || this.known.isTakeable) return null;
    const { due } = this.known;
    if (due !== undefined && due <= now) return null;
    return this.known.isPausedOrMaxed ? 0 : (due ?? 0);
  }

  /** @returns whether there may be a job; false: the time is over, or `until` was called. */
  wait(timeoutMs: number, onStop: (stop: () => void) => void): Promise<boolean> {
    return new Promise((resolve) => {
      const end = Date.now() + timeoutMs;
      let timer: NodeJS.Timeout | undefined;
      const finish = (found: boolean) => {
        clearTimeout(timer);
        this.waiting.delete(look);
        resolve(found);
      };
      const look = () => {
        const now = Date.now();
        if (this.nothingUntil(now) === null) return finish(true);
        if (now >= end) return finish(false);
        clearTimeout(timer);
        timer = setTimeout(look, Math.min(end, this.known?.due ?? Infinity) - now);
      };
      this.waiting.add(look);
      onStop(() => finish(false));
      look();
    });
  }
}
