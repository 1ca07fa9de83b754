import { OverloadedError } from '../base/errors';

export interface BatcherOptions<T> {
  readonly flush: (items: T[]) => Promise<void>;
  readonly maxItems: number;
  readonly maxBytes: number;
  readonly budget: Budget;
  /** A caller that waits longer than this (ms) gets the error `late()`, whatever becomes of its items. */
  readonly patienceMs: number;
  readonly late: () => Error;
}

/**
 * How often callers that wait too long are looked for (ms). One timer serves all requests, because a timer per request
 * costs as much as parsing the request.
 */
const LOOK_MS = 500;

interface Entry<T> {
  readonly items: readonly T[];
  readonly bytes: number;
  readonly since: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * How much all batchers together may hold in memory. Above it requests are rejected for the moment (429). Items are
 * limited, too, because each small item has a request that waits for its answer, which takes most of the memory.
 */
export class Budget {
  private used = { items: 0, bytes: 0 };

  constructor(private readonly most: { readonly items: number; readonly bytes: number }) {}

  /**
   * Accepts a request as a whole or not at all. Otherwise each try of a request with 10,000 events would leave a part
   * of them in the queue. So the last accepted request may exceed the limit by its own size, which the door has
   * checked.
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

  /** The items and bytes that are held now. */
  get waiting(): { readonly items: number; readonly bytes: number } {
    return this.used;
  }
}

/**
 * Collects the items that arrive during a flush, and flushes them together afterwards, in order of arrival. Only one
 * flush runs at a time. An idle batcher flushes at once, without a delay.
 */
export class Batcher<T> {
  private waiting: Entry<T>[] = [];
  private flushing: Entry<T>[] = [];
  private running = false;
  private looking: NodeJS.Timeout | null = null;
  private last: Promise<void> = Promise.resolve();

  constructor(private readonly options: BatcherOptions<T>) {}

  /**
   * Resolves when a flush with all these items has succeeded, and rejects with the flush's error. Items of one call
   * stay together.
   */
  add(items: readonly T[], bytes: number): Promise<void> {
    this.options.budget.take(items.length, bytes);
    this.last = new Promise((resolve, reject) => {
      this.waiting.push({ items, bytes, since: performance.now(), resolve, reject });
    });
    if (!this.running) void this.run();
    return this.last;
  }

  /** Resolves when everything that was added so far was flushed, with or without success. */
  settled(): Promise<void> {
    return this.last.then(
      () => undefined,
      () => undefined,
    );
  }

  private async run(): Promise<void> {
    this.running = true;
    this.looking ??= setInterval(() => this.look(), LOOK_MS);
    // Items that arrive in this turn of the event loop join the flush.
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
      // Entries are in the order of their arrival, so the first young one ends the search.
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
