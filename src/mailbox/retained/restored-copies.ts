import { createHash } from 'node:crypto';
import type { SharedState } from '../../lanes/state';

/** How late a publish event may arrive that EMQX had received before a message of its topic was restored (ms). */
const MEMORY_MS = 24 * 3_600_000;

/** A retained message that the server published back. */
export interface RestoredCopy {
  /** EMQX's id of the server's publish; null while it is being published. */
  readonly copyId: string | null;
  /** The id of the stored message. */
  readonly id: string;
}

/**
 * Remembers which of EMQX's retained messages the server published. Such a message may have replaced a client's own
 * publish whose event arrives too late.
 */
export class RestoredCopies {
  constructor(private readonly state: Pick<SharedState, 'get' | 'set' | 'delete'>) {}

  async of(topic: string): Promise<RestoredCopy | null> {
    const value = await this.state.get(keyOf(topic));
    return value === null ? null : (JSON.parse(value) as RestoredCopy);
  }

  async note(topic: string, copy: RestoredCopy): Promise<void> {
    await this.state.set(keyOf(topic), JSON.stringify(copy), MEMORY_MS);
  }

  async forget(topic: string): Promise<void> {
    await this.state.delete(keyOf(topic));
  }
}

function keyOf(topic: string): string {
  return `restored:${createHash('sha256').update(topic).digest('hex')}`;
}
