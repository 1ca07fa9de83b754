import type { Policy } from '../config/policies';
import type { Claim, Leased, SharedState } from '../lanes/state';
import { GRACE_MS } from './times';

/** Longer than the time after which a subscription looks for late publishes (ms). */
const KEPT_MS = 60_000;
const DAY_MS = 86_400_000;

/** A mailbox that wants to send messages. */
export interface Wanted {
  readonly mailbox: string;
  readonly mode: Policy['mode'];
  readonly ids: readonly string[];
}

/**
 * The right to send a message at the moment (promise 9). Claims are all that mailboxes share. In queue mode one
 * consumer is sent a message at a time. In pubsub mode each consumer is sent it, but must not be sent it twice. If a
 * mailbox meets a claim of its own that it does not know, a process died between sending and saving. Each method takes
 * one round trip, however many mailboxes there are.
 */
export class Claims {
  constructor(private readonly state: Pick<SharedState, 'lease' | 'release'>) {}

  /** @returns for each entry, by message id, whether the claim was granted. */
  take(all: readonly Wanted[], ttlMs = GRACE_MS): Promise<ReadonlyMap<string, Leased>[]> {
    return this.named(all, ({ mailbox, mode }, id) => nameOf(mailbox, mode, id), ttlMs);
  }

  /**
   * Claims messages that stay stored after delivery (policy qos0 `keep`) once per subscription. No acknowledgement
   * would keep the later look of the same subscription from sending them again.
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

  /** Whether this is the first rejection of the message for this consumer within a day. */
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
