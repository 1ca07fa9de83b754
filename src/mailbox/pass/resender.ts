import type { Policy } from '../../config/policies';
import { policyFor } from '../../policies/policy';
import type { Store } from '../../stores/store';
import { isRun } from '../box/fact';
import { START, type Again, type Run } from '../box/mailbox';
import { taken } from '../box/plan';
import type { Delivered, Parcel } from './parcel';
import type { Seat } from './seat';
import type { Sender } from './sender';

export interface ResenderDeps {
  readonly store: Pick<Store, 'getMessage'>;
  readonly policies: readonly Policy[];
  readonly now: () => number;
}

/**
 * Sends messages again that EMQX dropped or lost, one after the other in their order. Neither the time of the
 * subscription nor fetch.limit matters for them.
 */
export class Resender {
  constructor(
    private readonly deps: ResenderDeps,
    private readonly sender: Pick<Sender, 'send'>,
  ) {}

  /** Sends the first `count` of the seat's messages again, as far as the window has room. */
  async send(seat: Seat, count: number): Promise<void> {
    const { now, store, policies } = this.deps;
    const parcels: Parcel[] = [];
    const done: string[] = [];
    for (const ref of seat.mailbox.again.slice(0, count)) {
      const policy = policyFor(policies, ref.topic);
      if (policy !== null && taken(seat.mailbox) + parcels.length >= policy.window) break;
      const readAt = now();
      const message = policy === null ? null : await store.getMessage(ref.id, ref.topic);
      // Another client acknowledged the message, or it was trimmed, or it expired meanwhile (promise 12).
      if (policy === null || message === null || (message.expiresAt ?? Infinity) <= now()) done.push(ref.id);
      else parcels.push({ seat, run: runOf(ref), policy, messages: [message], readAt });
    }
    const results = parcels.length === 0 ? new Map<Parcel, Delivered>() : await this.sendAnew(parcels);
    const all = [...results.values()];
    const copies = all.flatMap((result) => result.copies);
    const sentIds = new Set(copies.map(([id]) => id));
    // If the seat has an error, EMQX may not have taken some of them. They are tried again with the seat's events.
    const isKnown = (parcel: Parcel): boolean => seat.error === null && results.get(parcel)?.isStopped === false;
    const passed = [...parcels.filter(isKnown).flatMap(({ messages }) => messages), ...all.flatMap(({ unclocked }) => unclocked)];
    // Nobody is there for these subscriptions any more. The client may still have others.
    const ended = parcels.flatMap((parcel) => (results.get(parcel)?.isOver === true ? [parcel.run] : []));
    const unwanted = seat.mailbox.again.filter((ref) => ended.some((run) => isRun(run, ref)));
    done.push(...[...passed, ...unwanted].map(({ id }) => id).filter((id) => !sentIds.has(id)));
    const stopped = all.some(({ isStopped }) => isStopped);
    if (seat.error !== null && copies.length === 0 && done.length === 0 && !stopped) return;
    seat.learn({ kind: 'resent', copies, done, stopped }, now());
  }

  /**
   * The copies may be lost with the session, and the subscription of the client's inbox with them. Then it is made
   * again.
   */
  private async sendAnew(parcels: readonly Parcel[]): Promise<Map<Parcel, Delivered>> {
    const results = await this.sender.send(parcels);
    const unheard = parcels.filter((parcel) => parcel.policy.deliverTo === 'inbox' && results.get(parcel)?.isOver === true);
    if (unheard.length === 0) return results;
    const anew = new Map(unheard.map((parcel) => [{ ...parcel, run: { ...parcel.run, hasInbox: false } }, parcel]));
    for (const parcel of unheard) results.delete(parcel);
    for (const [again, result] of await this.sender.send([...anew.keys()])) results.set(anew.get(again) as Parcel, result);
    return results;
  }
}

/** A run like the one that sent the message before. */
function runOf({ clientid, filter, qos }: Again): Run {
  return {
    ...{ clientid, filter, qos, at: 0, requestedAt: 0, cursor: START, behind: null, gathers: 0, sent: 0, window: 1 },
    ...{ leavesRetained: false, lookAt: null, looks: 0, isBlocked: false, hasInbox: true },
  };
}
