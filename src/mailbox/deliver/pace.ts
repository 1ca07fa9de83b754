import type { Message } from '../../mqtt/message';

/** What one batch may hold, and the pause after it: about 1,000 messages a second, far below what fills EMQX's session queue (1,000). */
const BATCH = 100;
const BATCH_BYTES = 1024 * 1024;
export const PAUSE_MS = 100;

/**
 * Deliveries at QoS 0 are never acknowledged, so nothing says when the next ones may go (promise 10): they go in batches, and a delayed job
 * goes on after each. No timer is held in memory for it.
 */
export class Pace {
  private messages = 0;
  private bytes = 0;

  sent(messages: readonly Message[]): void {
    this.messages += messages.length;
    for (const { payload } of messages) this.bytes += payload.length;
  }

  /** How many more may go now, under a policy's window. */
  room(window: number): number {
    return this.bytes >= BATCH_BYTES ? 0 : Math.min(window, BATCH) - this.messages;
  }

  /** Whether there is something to pause after. */
  get used(): boolean {
    return this.messages > 0;
  }
}
