import type { Policy } from '../config/policies';
import type { Leases, SharedState } from '../lanes/state';
import { GRACE_MS } from './times';

/** Longer than a subscription looks again for late publishes. ms. */
const KEPT_MS = 60_000;

/**
 * Who is being sent a message at the moment (promise 9): all that mailboxes share. In queue mode one consumer has a message at a time; in pubsub mode
 * everybody gets it, and only the consumer itself must not be sent it twice. A claim of its own that a mailbox does not know says that a process died between
 * sending and saving.
 */
export class Claims {
  constructor(private readonly state: Pick<SharedState, 'lease' | 'release'>) {}

  async take(mailbox: string, mode: Policy['mode'], ids: readonly string[]): Promise<Leases> {
    return this.named(ids, (id) => nameOf(mailbox, mode, id), mailbox, GRACE_MS);
  }

  /**
   * What stays stored whoever gets it (policy qos0 `keep`) is sent once for a subscription: nobody's acknowledgement will tell its later look.
   * @returns those that this subscription was not sent yet.
   */
  async takeOnce(mailbox: string, subscribedAt: number, ids: readonly string[]): Promise<ReadonlySet<string>> {
    return (await this.named(ids, (id) => onceName(mailbox, subscribedAt, id), mailbox, KEPT_MS)).granted;
  }

  async giveUpOnce(mailbox: string, subscribedAt: number, ids: readonly string[]): Promise<void> {
    if (ids.length > 0) await this.state.release(ids.map((id) => onceName(mailbox, subscribedAt, id)), mailbox);
  }

  /** Whether the consumer's refusal of a message is told for the first time in a day. */
  async isFirstRefusal(mailbox: string, id: string): Promise<boolean> {
    return (await this.named([id], () => `refused/${mailbox}/${id}`, mailbox, 86_400_000)).granted.size > 0;
  }

  async giveUp(mailbox: string, ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return;
    await this.state.release([...ids.map((id) => nameOf(mailbox, 'queue', id)), ...ids.map((id) => nameOf(mailbox, 'pubsub', id))], mailbox);
  }

  private async named(ids: readonly string[], name: (id: string) => string, owner: string, ttlMs: number): Promise<Leases> {
    if (ids.length === 0) return { granted: new Set(), own: new Set() };
    const { granted, own } = await this.state.lease(ids.map(name), owner, ttlMs);
    return { granted: new Set(ids.filter((id) => granted.has(name(id)))), own: new Set(ids.filter((id) => own.has(name(id)))) };
  }
}

function nameOf(mailbox: string, mode: Policy['mode'], id: string): string {
  return mode === 'pubsub' ? `${mailbox}/${id}` : id;
}

const onceName = (mailbox: string, at: number, id: string): string => `once/${mailbox}/${at}/${id}`;
