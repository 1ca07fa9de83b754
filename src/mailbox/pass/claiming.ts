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

/** What of the parcels may be sent: it is the run's own business, nobody else is being sent it, and the inbox that it goes to is there. */
export class Claiming {
  constructor(
    private readonly deps: SenderDeps,
    private readonly claims: Claims,
    private readonly settling: Pick<Settling, 'sentByEmqx' | 'settle'>,
  ) {}

  /** What fails for one seat is noted there, and it has no load. */
  async claimed(parcels: readonly Parcel[]): Promise<Load[]> {
    const loads = await this.claim(await this.wanted(parcels));
    await eachOf(loads, PARALLEL, (load) => guarded(load.parcel, () => this.prepare(load)));
    return loads.filter(({ parcel }) => parcel.seat.error === null);
  }

  /** What a run may be sent, as far as it is its own business. */
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

  /** Claims what nobody else is being sent. */
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
    // What is kept is claimed against storms only: the client's next subscription is sent it again.
    const [clocked, keptOnes] = [await this.claims.take(ofKind(false)), await this.claims.take(ofKind(true), STORM_MS)];
    // What is sent again has a parcel for each message: behind one that stops nothing newer goes out (promise 6).
    const stopped = new Set<Seat>();
    return wishes.map(({ parcel }, i): Load => {
      const own = candidates[i] ?? [];
      const leased = (message: Message) => clocked[i]?.get(message.id) ?? keptOnes[i]?.get(message.id) ?? 'held';
      const stop = stopped.has(parcel.seat) ? 0 : own.findIndex((message) => leased(message) === 'own' && !isKept(parcel, message));
      if (stop >= 0) stopped.add(parcel.seat);
      const due = (stop < 0 ? own : own.slice(0, stop)).filter((message) => leased(message) === 'granted');
      const once = new Set([...(onces[i] ?? [])].flatMap(([id, each]) => (each === 'granted' ? [id] : [])));
      // What this mailbox has just been sent for another subscription it was sent for this one, too.
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

  /** Also before the first message of another policy: a run that goes on does not open the inbox any more, since the client may have connected anew. */
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
      // QoS 2: each message then keeps its own.
      return (await this.deps.emqx.subscribe(clientid, [{ topic: inboxFilter(clientid), qos: 2 }])) === 'subscribed';
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      // EMQX will never do it (the client calls itself `..`): to us it is never there. Its messages stay stored, and nobody else's wait for it.
      return false;
    }
  }

  /** They were not sent. */
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
