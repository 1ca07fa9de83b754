import type { JobQueue, QueueBackend } from '../lanes/backend';

/** One thing that could not be processed, as it is kept. */
export interface DeadLetter {
  readonly id: string;
  readonly reason: string;
  /** The event; of a body that was refused at the door its text, cut to 64 KB (without U+0000). */
  readonly event: unknown;
  /** Where it was refused: `POST /v1/events/message.publish`, `worker`; null: the reason says it. */
  readonly source: string | null;
  /** ms */
  readonly at: number;
}

type LetterData = Omit<DeadLetter, 'id'>;

/** Where a page of dead letters ended. */
export type LetterPosition = Pick<DeadLetter, 'at' | 'id'>;

export interface LetterLimits {
  readonly count: number;
  readonly ageMs: number;
}

/** One read: a letter may hold a message of 1 MB and more. */
const PAGE = 25;
/** Under a steady stream of letters the last try may be off by a few. */
const ID_TRIES = 5;
/** Where a list ends early, whatever the letters hold. */
const MAX_BYTES = 8 * 1024 * 1024;

/** Letters are jobs of a queue that has no worker: durable wherever the queue is, bounded by count and by age. */
export class LetterBox {
  private readonly queue: JobQueue;
  private trimming: Promise<unknown> = Promise.resolve();
  /** Not begun yet: it will see every letter that is there now. */
  private nextTrim: Promise<number> | null = null;

  constructor(
    backend: QueueBackend,
    private readonly limits: LetterLimits,
  ) {
    this.queue = backend.queue('dead-letters');
  }

  /** `key` makes it idempotent: a letter with the same key is there once. @returns how many older ones went, for this one or others. */
  async put(data: LetterData, key?: string): Promise<number> {
    await this.queue.add('letter', data, key === undefined ? {} : { jobId: `${KEYED}${key}` });
    // One for all that come together: each would count, and remove the same. All wait for it: letters never come faster than they go.
    if (this.nextTrim !== null) return this.nextTrim.then(() => 0);
    this.nextTrim = this.trimming.then(() => {
      this.nextTrim = null;
      return this.trim();
    });
    this.trimming = this.nextTrim.catch(() => 0);
    return this.nextTrim;
  }

  private async trim(): Promise<number> {
    const excess = (await this.count()) - this.limits.count;
    let removed = 0;
    if (excess > 0) for (const id of await this.idsFrom(0, excess)) if (await this.remove(id)) removed++;
    return removed;
  }

  /**
   * Holds the letter under an id of its own while what is in it is tried again. Should it fail again at once, the letter about that has
   * the same key: it would find this one there, and be gone with it. @returns null when there is no such letter.
   */
  async hold(letter: DeadLetter): Promise<Held | null> {
    const { id, ...data } = letter;
    // Nothing else has the key of a letter without one.
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

  /** Of all letters, oldest first. */
  async ids(): Promise<string[]> {
    return this.idsFrom(0, await this.count());
  }

  /**
   * Oldest first, those behind the given one; if that was removed since, some of the same millisecond may come again. May end early, but not
   * empty while there are more.
   */
  async list(after: LetterPosition | null, limit: number): Promise<{ letters: DeadLetter[]; more: boolean }> {
    const found: DeadLetter[] = [];
    let bytes = 0;
    const ids = await this.ids();
    // 0 where there is none, or none any more.
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

  /** Removes what is too old. @returns how many. */
  async purge(now: number): Promise<number> {
    let removed = 0;
    for (;;) {
      const letters = await this.all(await this.idsFrom(0, PAGE));
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
   * Oldest first. BullMQ counts from the newest whatever order is asked for, on PostgreSQL at least: there `asc` turns round what it has
   * cut out. So it is counted from the other end here, and again when letters came or went meanwhile.
   */
  private async idsFrom(start: number, size: number): Promise<string[]> {
    let ids: string[] = [];
    for (let count = await this.count(), tries = 0; tries < ID_TRIES; tries++) {
      const last = count - 1 - start;
      if (last < 0) return [];
      ids = await this.queue.getRanges(['waiting'], Math.max(0, last - size + 1), last, false);
      const now = await this.count();
      if (now === count) break;
      count = now;
    }
    return ids.reverse();
  }
}

export interface Held {
  /** What was in it has been put back into the queue. @returns whether the letter was still there. */
  readonly done: () => Promise<boolean>;
  /** It could not: the letter is there again, under its id. */
  readonly giveBack: () => Promise<void>;
}

const KEYED = 'letter-';

function sizeOf({ event }: DeadLetter): number {
  return typeof event === 'string' ? event.length : JSON.stringify(event ?? null).length;
}
