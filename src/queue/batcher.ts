import { setTimeout as sleep } from 'node:timers/promises';
import { OverloadedError } from '../errors';

export interface BatcherOptions<T> {
  readonly flush: (items: T[]) => Promise<void>;
  readonly maxItems: number;
  readonly maxBytes: number;
  readonly budget: Budget;
  /** How long a flush that has not all it can have waits for more, in ms; absent: not at all. */
  readonly gatherMs?: () => number;
}

interface Entry<T> {
  readonly item: T;
  readonly bytes: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * How much all batchers together may hold in memory; beyond it what comes is refused for the moment (429). Items count, too: each small one
 * has a request that waits for its answer, and that is what takes the memory.
 */
export class Budget {
  private used = { items: 0, bytes: 0 };

  constructor(private readonly most: { readonly items: number; readonly bytes: number }) {}

  take(bytes: number): void {
    const { items, bytes: waiting } = this.used;
    // One item is always let in, however large: its size was checked at the door.
    if (items > 0 && (items >= this.most.items || waiting + bytes > this.most.bytes)) throw new OverloadedError('too many events are waiting for the queue');
    this.used = { items: items + 1, bytes: waiting + bytes };
  }

  give(bytes: number): void {
    this.used = { items: this.used.items - 1, bytes: this.used.bytes - bytes };
  }

  /** What is held now. */
  get waiting(): { readonly items: number; readonly bytes: number } {
    return this.used;
  }
}

/**
 * Gathers what arrives while the previous flush is under way and flushes it as one, in order of arrival, one flush at a time. An
 * idle batcher flushes at once: no delay is added unless gatherMs says so.
 */
export class Batcher<T> {
  private readonly waiting: Entry<T>[] = [];
  private running = false;
  private last: Promise<void> = Promise.resolve();

  constructor(private readonly options: BatcherOptions<T>) {}

  /** Resolves when a flush that has the item has succeeded; rejects with that flush's error. */
  add(item: T, bytes: number): Promise<void> {
    this.options.budget.take(bytes);
    this.last = new Promise((resolve, reject) => {
      this.waiting.push({ item, bytes, resolve, reject });
    });
    if (!this.running) void this.run();
    return this.last;
  }

  /** Resolves when everything added so far was flushed, well or not. */
  settled(): Promise<void> {
    return this.last.then(
      () => undefined,
      () => undefined,
    );
  }

  private async run(): Promise<void> {
    this.running = true;
    // What this turn of the event loop still brings goes along.
    await new Promise(setImmediate);
    while (this.waiting.length > 0) {
      const pause = this.waiting.length < this.options.maxItems ? (this.options.gatherMs?.() ?? 0) : 0;
      if (pause > 0) await sleep(pause);
      const batch = this.cut();
      try {
        await this.options.flush(batch.map(({ item }) => item));
        for (const { resolve } of batch) resolve();
      } catch (error) {
        for (const { reject } of batch) reject(error);
      } finally {
        for (const { bytes } of batch) this.options.budget.give(bytes);
      }
    }
    this.running = false;
  }

  private cut(): Entry<T>[] {
    let count = 0;
    let bytes = 0;
    for (const entry of this.waiting) {
      bytes += entry.bytes;
      if (count > 0 && (count === this.options.maxItems || bytes > this.options.maxBytes)) break;
      count++;
    }
    return this.waiting.splice(0, count);
  }
}
