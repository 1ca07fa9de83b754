import { isPausedOrMaxed, type Head } from './head';

/** The state of a queue after the latest work. All works run in one order, so a later take sees at least this state. */
interface Known {
  readonly isTakeable: boolean;
  readonly isPausedOrMaxed: boolean;
  /** When the first delayed job is due (ms); undefined if there is none. */
  readonly due: number | undefined;
}

/**
 * Wakes those that wait for a job of one queue. The state is kept in memory only, because this process does all work on
 * the queue.
 */
export class Signal {
  /** null if nothing has worked on the queue yet, or if a work has failed. The queue must then be read. */
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

  /** Wakes all, because one that is woken may end before it takes a job. */
  private wake(): void {
    for (const look of [...this.waiting]) look();
  }

  /**
   * The time (ms) until which a take will find nothing; null if it may find something now. 0 if that time is unknown:
   * something must be added first.
   */
  nothingUntil(now: number): number | null {
    if (this.known === null || this.known.isTakeable) return null;
    const { due } = this.known;
    if (due !== undefined && due <= now) return null;
    return this.known.isPausedOrMaxed ? 0 : (due ?? 0);
  }

  /**
   * @param onStop is called with a function that ends the wait.
   * @returns true if there may be a job; false if the time is over or the wait was ended.
   */
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
