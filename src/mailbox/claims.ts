import type { Policy } from '../config/policies';
import type { Claim, Leased, SharedState } from '../lanes/state';
import { GRACE_MS } from './times';

/** Longer than a subscription looks again for late publishes. ms. */
const KEPT_MS = 60_000;
const DAY_MS = 86_400_000;

/** A mailbox that wants to send messages. */
export interface Wanted {
  readonly mailbox: string;
  readonly mode: Policy['mode'];
  readonly ids: readonly string[];
}

/**
 * Who is being sent a message at the moment (promise 9): all that mailboxes share. In queue mode one consumer has a message at a time; in pubsub mode
 * everybody gets it, and only the consumer itself must not be sent it twice. A claim of its own that a mailbox does not know says that a process died between
 * sending and saving. Each method is one round trip, however many mailboxes.
 */
export class Claims {
  constructor(private readonly state: Pick<SharedState, 'lease' | 'release'>) {}

  /** @returns of each of the wanted, by message id, what came of it. */
  take(all: readonly Wanted[], ttlMs = GRACE_MS): Promise<ReadonlyMap<string, Leased>[]> {
    return this.named(all, ({ mailbox, mode }, id) => nameOf(mailbox, mode, id), ttlMs);
  }

  /**
   * What stays stored whoever gets it (policy qos0 `keep`) is sent once for a subscription: nobody's acknowledgement will tell its later look. What is granted
   * was not sent for it yet.
   */
  takeOnce(all: readonly (Omit<Wanted, 'mode'> & { readonly subscribedAt: number })[]): Promise<ReadonlyMap<string, Leased>[]> {
    return this.named(all, ({ mailbox, subscribedAt }, id) => onceName(mailbox, subscribedAt, id), KEPT_MS);
  }

  async giveUpOnce(mailbox: string, subscribedAt: number, ids: readonly string[]): Promise<void> {
    if (ids.length > 0)
      await this.state.release(
        ids.map((id) => onceName(mailbox, subscribedAt, id)),
        mailbox,
      );
  }

  /** Whether the consumer's refusal of a message is told for the first time in a day. */
  async isFirstRefusal(mailbox: string, id: string): Promise<boolean> {
    const [leased] = await this.state.lease([{ name: `refused/${mailbox}/${id}`, owner: mailbox }], DAY_MS);
    return leased === 'granted';
  }

  async giveUp(mailbox: string, ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return;
    await this.state.release(
      [...ids.map((id) => nameOf(mailbox, 'queue', id)), ...ids.map((id) => nameOf(mailbox, 'pubsub', id))],
      mailbox,
    );
  }

  private async named<T extends { mailbox: string; ids: readonly string[] }>(
    all: readonly T[],
    name: (of: T, id: string) => string,
    ttlMs: number,
  ): Promise<Map<string, Leased>[]> {
    const claims = all.flatMap((each) => each.ids.map((id): Claim => ({ name: name(each, id), owner: each.mailbox })));
    const leased = claims.length === 0 ? [] : await this.state.lease(claims, ttlMs);
    let next = 0;
    return all.map(({ ids }) => new Map(ids.map((id) => [id, leased[next++] ?? 'held'])));
  }
}

function nameOf(mailbox: string, mode: Policy['mode'], id: string): string {
  return mode === 'pubsub' ? `${mailbox}/${id}` : id;
}

const onceName = (mailbox: string, at: number, id: string): string => `once/${mailbox}/${at}/${id}`;
