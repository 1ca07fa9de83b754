import type { JobQueue, QueueBackend } from '../lanes/backend';

/** One event or part of a job that could not be processed, as it is stored. */
export interface DeadLetter {
  readonly id: string;
  readonly reason: string;
  /** The event. For a body that the door rejected, its text, cut to 64 KB and without U+0000. */
  readonly event: unknown;
  /** Where it was rejected: `POST /v1/events/message.publish`, or `worker`. null: the reason tells it. */
  readonly source: string | null;
  /** ms since 1970. */
  readonly at: number;
}

type LetterData = Omit<DeadLetter, 'id'>;

/** Where a page of dead letters ended. */
export type LetterPosition = Pick<DeadLetter, 'at' | 'id'>;

export interface LetterLimits {
  readonly count: number;
  readonly ageMs: number;
}

/** How many letters one read fetches. A letter may hold a message of 1 MB or more. */
const PAGE = 25;
/**
 * How often the ids are read again if letters come or go meanwhile. Under a steady stream of letters the last result
 * may be off by a few.
 */
const ID_TRIES = 5;
/** A list ends early at this size. */
const MAX_BYTES = 8 * 1024 * 1024;

/**
 * Dead letters are jobs of a queue without a worker. So they are durable in whatever database the queue is, and limited
 * by number and age.
 */
export class LetterBox {
  private readonly queue: JobQueue;
  private trimming: Promise<unknown> = Promise.resolve();
  /** A trim that has not begun yet, and so will see every letter that exists now; null if there is none. */
  private nextTrim: Promise<number> | null = null;

  constructor(
    backend: QueueBackend,
    private readonly limits: LetterLimits,
  ) {
    this.queue = backend.queue('dead-letters');
  }

  /**
   * Stores a letter.
   * @param key a letter with the same key is stored only once.
   * @returns the letter's id, and how many older letters were removed, because of this letter or others.
   */
  async put(data: LetterData, key?: string): Promise<{ id: string; discarded: number }> {
    const { id = '' } = await this.queue.add('letter', data, key === undefined ? {} : { jobId: `${KEYED}${key}` });
    // Letters that arrive together share one trim, because each trim would count and remove the same letters. All of
    // them wait for it, so letters are never stored faster than old ones are removed.
    if (this.nextTrim !== null) return this.nextTrim.then(() => ({ id, discarded: 0 }));
    this.nextTrim = this.trimming.then(() => {
      this.nextTrim = null;
      return this.trim();
    });
    this.trimming = this.nextTrim.catch(() => 0);
    return { id, discarded: await this.nextTrim };
  }

  private async trim(): Promise<number> {
    const excess = (await this.count()) - this.limits.count;
    let removed = 0;
    if (excess > 0) for (const id of await this.oldest(excess)) if (await this.remove(id)) removed++;
    return removed;
  }

  /**
   * Keeps the letter under a new id while its event is tried again. If the event fails again at once, the new letter
   * has the same key. Under its old id, this letter would be taken for the new one, and both would be removed.
   * @returns null if there is no such letter.
   */
  async hold(letter: DeadLetter): Promise<Held | null> {
    const { id, ...data } = letter;
    // A letter without a key can't conflict with another one.
    if (!id.startsWith(KEYED)) return { done: () => this.remove(id), giveBack: () => Promise.resolve() };
    const copy = (await this.queue.add('letter', data, {})).id ?? '';
    if (!(await this.remove(id))) {
      await this.remove(copy);
      return null;
    }
    return {
      done: () => this.remove(copy),
      giveBack: async () => {
        await this.queue.add('letter', data, { jobId: id });
        await this.remove(copy);
      },
    };
  }

  async get(id: string): Promise<DeadLetter | null> {
    const job = await this.queue.getJob(id);
    return job === undefined ? null : { id, ...(job.data as LetterData) };
  }

  /** The ids of all letters, oldest first. */
  async ids(): Promise<string[]> {
    return this.oldest(await this.count());
  }

  /**
   * The letters after the given position, oldest first. If the letter at that position was removed meanwhile, some
   * letters of the same millisecond may come again. A page may end early, but is not empty while there are more
   * letters.
   */
  async list(after: LetterPosition | null, limit: number): Promise<{ letters: DeadLetter[]; more: boolean }> {
    const found: DeadLetter[] = [];
    let bytes = 0;
    const ids = await this.ids();
    // 0 if there is no such letter, or no longer.
    const behind = after === null ? 0 : ids.indexOf(after.id) + 1;
    for (let start = behind; start < ids.length; start += PAGE) {
      for (const letter of await this.all(ids.slice(start, start + PAGE))) {
        if (after !== null && behind === 0 && letter.at < after.at) continue;
        bytes += sizeOf(letter);
        if (found.length === limit || (found.length > 0 && bytes > MAX_BYTES)) return { letters: found, more: true };
        found.push(letter);
      }
    }
    return { letters: found, more: false };
  }

  /** The newest first. */
  async newest(limit: number): Promise<DeadLetter[]> {
    return this.all(await this.queue.getRanges(['waiting'], 0, limit - 1, false));
  }

  async remove(id: string): Promise<boolean> {
    return (await this.queue.remove(id)) === 1;
  }

  async count(): Promise<number> {
    return (await this.queue.getJobCounts('waiting'))['waiting'] ?? 0;
  }

  /**
   * Removes letters that are too old.
   * @returns how many.
   */
  async purge(now: number): Promise<number> {
    let removed = 0;
    for (;;) {
      const letters = await this.all(await this.oldest(PAGE));
      const old = letters.filter(({ at }) => at < now - this.limits.ageMs);
      for (const { id } of old) if (await this.remove(id)) removed++;
      if (old.length < PAGE) return removed;
    }
  }

  close(): Promise<void> {
    return this.queue.close();
  }

  private async all(ids: readonly string[]): Promise<DeadLetter[]> {
    const letters = await Promise.all(ids.map((id) => this.get(id)));
    return letters.filter((letter) => letter !== null);
  }

  /**
   * The ids of the oldest letters, the oldest first. BullMQ counts from the newest in either order, at least on
   * PostgreSQL, where `asc` only reverses the range that was cut out. So the range is counted from the other end here,
   * and read again if letters came or went meanwhile.
   */
  private async oldest(most: number): Promise<string[]> {
    let ids: string[] = [];
    for (let count = await this.count(), tries = 0; tries < ID_TRIES; tries++) {
      if (count === 0) return [];
      ids = await this.queue.getRanges(['waiting'], Math.max(0, count - most), count - 1, false);
      const now = await this.count();
      if (now === count) break;
      count = now;
    }
    return ids.reverse();
  }
}

export interface Held {
  /**
   * The event is in the queue again, so the letter is removed.
   * @returns whether the letter was still there.
   */
  readonly done: () => Promise<boolean>;
  /** The event could not be put into the queue, so the letter is stored under its old id again. */
  readonly giveBack: () => Promise<void>;
}

const KEYED = 'letter-';

function sizeOf({ event }: DeadLetter): number {
  return typeof event === 'string' ? event.length : JSON.stringify(event ?? null).length;
}
