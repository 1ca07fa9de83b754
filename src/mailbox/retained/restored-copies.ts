import { createHash } from 'node:crypto';
import type { SharedState } from '../../lanes/state';

/** How long a publish may be late that EMQX had before a message was restored and that we hear of after it. ms. */
const MEMORY_MS = 24 * 3_600_000;

/** A retained message that we published back. */
export interface RestoredCopy {
  /** EMQX's id of our publish; null: it is being published. */
  readonly copyId: string | null;
  /** Of the stored message. */
  readonly id: string;
}

/** Which of the messages that EMQX retains are ours: a client's own publish, heard of too late, may have been replaced by one of them. */
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
