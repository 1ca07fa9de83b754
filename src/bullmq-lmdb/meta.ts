import { unsupported } from './errors';
import type { StoredQueue } from './queue';

/** Named fields of a queue with a text each, as BullMQ keeps them. */
export class Meta {
  constructor(private readonly queue: StoredQueue) {}

  /** @returns how many of the fields are new */
  async set(values: Record<string, string | number>): Promise<number> {
    if ('max' in values || 'duration' in values) throw unsupported('a global rate limit');
    const entries = Object.entries(values).map(([field, value]) => [field, String(value)] as const);
    return this.queue.write((head) => {
      const before = this.queue.meta();
      this.queue.saveMeta(head, { ...before, ...Object.fromEntries(entries) });
      return entries.filter(([field]) => before[field] === undefined).length;
    });
  }

  get(field: string): string | null {
    return this.queue.meta()[field] ?? null;
  }

  /** @returns how many of the fields existed */
  remove(fields: readonly string[]): Promise<number> {
    return this.queue.write((head) => {
      const before = Object.entries(this.queue.meta());
      const left = before.filter(([field]) => !fields.includes(field));
      this.queue.saveMeta(head, Object.fromEntries(left));
      return before.length - left.length;
    });
  }
}
