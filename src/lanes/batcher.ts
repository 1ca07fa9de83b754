import { OverloadedError } from '../base/errors';

export interface BatcherOptions<T> {
  readonly flush: (items: T[]) => Promise<void>;
  readonly maxItems: number;
  readonly maxBytes: number;
  readonly budget: Budget;
  /** Who waits for longer is told `late()`, whatever becomes of the items; ms. */
  readonly patienceMs: number;
  readonly late: () => Error;
}

/** How often it is looked who waits for too long. One timer for all: a timer for each request costs as much as parsing it. */
const LOOK_MS = 500;

interface Entry<T> {
  readonly items: readonly T[];
  readonly bytes: number;
  readonly since: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * How much all batchers together may hold in memory; beyond it a request is refused for the moment (429). Items count, too: each small one
 * has a request that waits for its answer, and that is what takes the memory.
 */
export class Budget {
  private used = { items: 0, bytes: 0 };

  constructor(private readonly most: { readonly items: number; readonly bytes: number }) {}

  /**
   * A request is taken as a whole or not at all: one of 10,000 events must not leave a part of them in the queue at each try. So the last one that
   * is taken may go over the limit by its own size, which the door has checked.
   */
  take(items: number, bytes: number): void {
    const { items: held, bytes: waiting } = this.used;
    if (held > 0 && (held >= this.most.items || waiting + bytes > this.most.bytes))
      throw new OverloadedError('too many events are waiting for the queue');
    this.used = { items: held + items, bytes: waiting + bytes };
  }

  give(items: number, bytes: number): void {
    this.used = { items: this.used.items - items, bytes: this.used.bytes - bytes };
  }

  /** What is held now. */
  get waiting(): { readonly items: number; readonly bytes: number } {
    return this.used;
  }
}

/**
 * Gathers what arrives while the previous flush is under way and flushes it as one, in order of arrival, one flush at a time. An
 * idle batcher flushes at once: no delay is added.
 */
export class Batcher<T> {
  private waiting: Entry<T>[] = [];
  private flushing: Entry<T>[] = [];
  private running = false;
  private looking: NodeJS.Timeout | null = null;
  private last: Promise<void> = Promise.resolve();

  constructor(private readonly options: BatcherOptions<T>) {}

  /** Resolves when a flush that has all the items has succeeded; rejects with that flush's error. They are never parted. */
  add(items: readonly T[], bytes: number): Promise<void> {
    this.options.budget.take(items.length, bytes);
    this.last = new Promise((resolve, reject) => {
      this.waiting.push({ items, bytes, since: performance.now(), resolve, reject });
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
    this.looking ??= setInterval(() => this.look(), LOOK_MS);
    // What this turn of the event loop still brings goes along.
    await new Promise(setImmediate);
    while (this.waiting.length > 0) {
      const batch = this.cut();
      this.flushing = batch;
      try {
        await this.options.flush(batch.flatMap(({ items }) => items));
        for (const { resolve } of batch) resolve();
      } catch (error) {
        for (const { reject } of batch) reject(error);
      } finally {
        for (const { items, bytes } of batch) this.options.budget.give(items.length, bytes);
      }
    }
    this.flushing = [];
    this.running = false;
    if (this.looking !== null) clearInterval(this.looking);
    this.looking = null;
  }

  private look(): void {
    const latest = performance.now() - this.options.patienceMs;
    for (const entries of [this.flushing, this.waiting]) {
      // In their order of arrival.
      for (const { since, reject } of entries) {
        if (since > latest) break;
        reject(this.options.late());
      }
    }
  }

  private cut(): Entry<T>[] {
    const { maxItems, maxBytes } = this.options;
    let [entries, items, bytes] = [0, 0, 0];
    for (const entry of this.waiting) {
      items += entry.items.length;
      bytes += entry.bytes;
      if (entries > 0 && (items > maxItems || bytes > maxBytes)) break;
      entries++;
    }
    const batch = this.waiting.slice(0, entries);
    this.waiting = this.waiting.slice(entries);
    return batch;
  }
}
