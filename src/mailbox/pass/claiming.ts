import { RefusedError } from '../../base/errors';
import { eachOf } from '../../base/parallel';
import type { Message } from '../../mqtt/message';
import { inboxFilter } from '../../mqtt/topic';
import { reachesInbox } from '../../policies/overlap';
import type { Claims } from '../claims';
import { STORM_MS } from '../times';
import type { SenderDeps } from './deps';
import { fateOf, guarded, type Load, type Parcel } from './parcel';
import type { Seat } from './seat';
import type { Settling } from './settling';

const PARALLEL = 16;

interface Wish {
  readonly parcel: Parcel;
  readonly messages: readonly Message[];
}

/**
 * Decides which messages of the parcels may be sent: the policy allows it, no other consumer is being sent the message,
 * and the inbox that it goes to is subscribed.
 */
export class Claiming {
  constructor(
    private readonly deps: SenderDeps,
    private readonly claims: Claims,
    private readonly settling: Pick<Settling, 'sentByEmqx' | 'settle'>,
  ) {}

  /** @returns what may be sent. An error for one seat is noted in the seat, and its parcels are left out. */
  async claimed(parcels: readonly Parcel[]): Promise<Load[]> {
    const loads = await this.claim(await this.wanted(parcels));
    await eachOf(loads, PARALLEL, (load) => guarded(load.parcel, () => this.prepare(load)));
    return loads.filter(({ parcel }) => parcel.seat.error === null);
  }

  /** The messages of each parcel without those that EMQX has sent itself, and without those that the policy skips. */
  private async wanted(parcels: readonly Parcel[]): Promise<Wish[]> {
    const wishes: Wish[] = [];
    await eachOf(parcels, PARALLEL, (parcel) =>
      guarded(parcel, async () => {
        const sentByEmqx = await this.settling.sentByEmqx(parcel);
        if (sentByEmqx !== null) await this.settling.settle(parcel, [sentByEmqx]);
        const messages = parcel.messages.filter((message) => message !== sentByEmqx && fateOf(message, parcel) !== 'skip');
        wishes.push({ parcel, messages });
      }),
    );
    return wishes;
  }

  /** Claims the messages that no other consumer is being sent. */
  private async claim(wishes: readonly Wish[]): Promise<Load[]> {
    const isKept = (parcel: Parcel, message: Message) => fateOf(message, parcel) === 'keep';
    const kept = wishes.map(({ parcel, messages }) => messages.filter((message) => isKept(parcel, message)).map(({ id }) => id));
    const onces = await this.claims.takeOnce(
      wishes.map(({ parcel: { seat, run } }, i) => ({ mailbox: seat.key, subscribedAt: run.at, ids: kept[i] ?? [] })),
    );
    const candidates = wishes.map(({ parcel, messages }, i) =>
      messages.filter((message) => !isKept(parcel, message) || onces[i]?.get(message.id) === 'granted'),
    );
    const ofKind = (keeps: boolean) =>
      wishes.map(({ parcel }, i) => ({
        mailbox: parcel.seat.key,
        mode: parcel.policy.mode,
        ids: (candidates[i] ?? []).filter((each) => isKept(parcel, each) === keeps).map(({ id }) => id),
      }));
    // Messages that stay stored at QoS 0 (policy qos0 `keep`) are claimed only for the length of a storm, because the
    // client's next subscription is sent them again.
    const [clocked, keptOnes] = [await this.claims.take(ofKind(false)), await this.claims.take(ofKind(true), STORM_MS)];
    // Messages that are sent again have one parcel each. After a parcel that stops, nothing newer of this mailbox goes
    // out (promise 6).
    const stopped = new Set<Seat>();
    return wishes.map(({ parcel }, i): Load => {
      const own = candidates[i] ?? [];
      const leased = (message: Message) => clocked[i]?.get(message.id) ?? keptOnes[i]?.get(message.id) ?? 'held';
      const stop = stopped.has(parcel.seat) ? 0 : own.findIndex((message) => leased(message) === 'own' && !isKept(parcel, message));
      if (stop >= 0) stopped.add(parcel.seat);
      const due = (stop < 0 ? own : own.slice(0, stop)).filter((message) => leased(message) === 'granted');
      const once = new Set([...(onces[i] ?? [])].flatMap(([id, each]) => (each === 'granted' ? [id] : [])));
      // If this mailbox has just been sent the message for another subscription, that counts for this one, too.
      const unsent = own.filter((message) => !due.includes(message) && leased(message) !== 'own').map(({ id }) => id);
      const unused = own.filter((message) => !due.includes(message) && leased(message) === 'granted').map(({ id }) => id);
      const isBlocked = own.some((message) => leased(message) === 'held');
      return { parcel, due, isBlocked, isStopped: stop >= 0, once, unused, unsent, hasInbox: parcel.run.hasInbox, isOver: false };
    });
  }

  private async prepare(load: Load): Promise<void> {
    const { parcel, unused, unsent, once } = load;
    await this.claims.giveUp(parcel.seat.key, unused);
    await this.claims.giveUpOnce(
      parcel.seat.key,
      parcel.run.at,
      unsent.filter((id) => once.has(id)),
    );
    await this.openInbox(load);
  }

  /**
   * The inbox is opened also before messages that don't go there, if a later topic of the run may. A run that continues
   * no longer opens it, because the client may have connected anew meanwhile.
   */
  private async openInbox(load: Load): Promise<void> {
    const { run, policy } = load.parcel;
    const isNeeded = policy.deliverTo === 'inbox' || reachesInbox(this.deps.policies, run.filter);
    if (load.due.length === 0 || !isNeeded || run.hasInbox) return;
    load.hasInbox = await this.subscribeInbox(run.clientid);
    if (load.hasInbox || policy.deliverTo !== 'inbox') return;
    await this.free(load.parcel, load.due, load.once);
    load.due = [];
    load.isOver = true;
  }

  /** @returns false when the client is not connected. */
  private async subscribeInbox(clientid: string): Promise<boolean> {
    try {
      // With QoS 2 each message keeps its own QoS.
      return (await this.deps.emqx.subscribe(clientid, [{ topic: inboxFilter(clientid), qos: 2 }])) === 'subscribed';
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      // EMQX will never make this subscription, for example because the client id is `..`. The client counts as absent:
      // its messages stay stored, and other clients don't wait for it.
      return false;
    }
  }

  /** Gives up the claims of messages that were not sent. */
  async free({ seat, run }: Parcel, messages: readonly Message[], once: ReadonlySet<string>): Promise<void> {
    const ids = messages.map(({ id }) => id);
    await this.claims.giveUp(seat.key, ids);
    await this.claims.giveUpOnce(
      seat.key,
      run.at,
      ids.filter((id) => once.has(id)),
    );
  }
}
