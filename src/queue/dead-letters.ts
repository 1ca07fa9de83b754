import type { JobQueue, QueueBackend } from './backend';

/** One thing that could not be processed, as stored. */
export interface LetterData {
  readonly reason: string;
  readonly event: unknown;
  readonly source: string | null;
  /** ms */
  readonly at: number;
}

export interface StoredLetter extends LetterData {
  readonly id: string;
}

const PAGE = 500;

/** Letters are jobs of a queue that has no worker: durable wherever the queue is, bounded by count. */
export class LetterBox {
  private readonly queue: JobQueue;

  constructor(
    backend: QueueBackend,
    private readonly maxCount: number,
  ) {
    this.queue = backend.queue('dead-letters');
  }

  /** `key` makes it idempotent: a letter with the same key is there once. */
  async put(data: LetterData, key?: string): Promise<void> {
    await this.queue.add('letter', data, key === undefined ? {} : { jobId: `letter-${key}` });
    const excess = (await this.count()) - this.maxCount;
    if (excess > 0) for (const { id } of await this.page(0, excess)) await this.queue.remove(id);
  }

  async get(id: string): Promise<StoredLetter | null> {
    const job = await this.queue.getJob(id);
    return job === undefined ? null : { id, ...(job.data as LetterData) };
  }

  /** Oldest first, those behind the given one; it may have been removed since. */
  async list(after: Pick<StoredLetter, 'id' | 'at'> | null, limit: number): Promise<StoredLetter[]> {
    const found: StoredLetter[] = [];
    let open = after === null;
    for (let start = 0; found.length < limit; start += PAGE) {
      const letters = await this.page(start, PAGE);
      for (const letter of letters) {
        open ||= after !== null && letter.at > after.at;
        if (open && found.length < limit) found.push(letter);
        open ||= letter.id === after?.id;
      }
      if (letters.length < PAGE) break;
    }
    return found;
  }

  async remove(id: string): Promise<boolean> {
    return (await this.queue.remove(id)) === 1;
  }

  async count(): Promise<number> {
    return (await this.queue.getJobCounts('waiting'))['waiting'] ?? 0;
  }

  close(): Promise<void> {
    return this.queue.close();
  }

  private async page(start: number, count: number): Promise<StoredLetter[]> {
    const jobs = await this.queue.getJobs(['waiting'], start, start + count - 1, true);
    return jobs.map(({ id, data }) => ({ id: id ?? '', ...(data as LetterData) }));
  }
}
