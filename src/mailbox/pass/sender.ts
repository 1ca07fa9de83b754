import type { Policy } from '../../config/policies';
import type { Delivery, PublishOutcome } from '../../emqx/api';
import { RefusedError, RetryableError } from '../../base/errors';
import { eachOf } from '../../base/parallel';
import type { Message } from '../../mqtt/message';
import { inboxFilter, inboxTopic, isWildcard, splitShare } from '../../mqtt/topic';
import { reachesInbox } from '../../policies/overlap';
import type { Claims } from '../claims';
import { deliveryOf } from '../delivery';
import { isGroup, type Copy, type Run } from '../box/mailbox';
import type { RetainedIds } from '../retained/retained-ids';
import type { Address } from '../signature';
import { GRACE_MS, STORM_MS, TOMBSTONE_MS } from '../times';
import type { PassDeps } from './deps';
import type { Seat } from './seat';

/** Messages of one topic that a run wants to send. */
export interface Parcel {
  readonly seat: Seat;
  readonly run: Run;
  readonly policy: Policy;
  readonly messages: readonly Message[];
  readonly readAt: number;
}

/** What became of a parcel. */
export interface Delivered {
  /** Now unacknowledged in EMQX, or perhaps. */
  readonly copies: readonly [string, Copy][];
  /** EMQX has them, and nobody will acknowledge them (QoS 0). */
  readonly unclocked: readonly Message[];
  /** Somebody else is being sent some of them. */
  readonly isBlocked: boolean;
  /** Nobody is there. */
  readonly isOver: boolean;
  /** The process that had the mailbox before may have sent some of them: the run waits until that is known. */
  readonly isStopped: boolean;
  readonly hasInbox: boolean;
}

interface Wish {
  readonly parcel: Parcel;
  readonly messages: readonly Message[];
}

/** Of a parcel, what is to be published. */
interface Load {
  readonly parcel: Parcel;
  due: Message[];
  /** Claimed, and not to be sent now. */
  readonly unused: readonly string[];
  readonly unsent: readonly string[];
  readonly isBlocked: boolean;
  readonly isStopped: boolean;
  readonly once: ReadonlySet<string>;
  hasInbox: boolean;
  isOver: boolean;
}

const PARALLEL = 16;
/**
 * What was read so long ago is not sent: this process stood still, or a server was slow, and its claims may be over by now. Another consumer may
 * have it, or have acknowledged it. ms.
 */
const FRESH_MS = GRACE_MS / 2;

/** Publishes the parcels of many mailboxes in as few requests as EMQX takes. */
export class Sender {
  constructor(
    private readonly deps: PassDeps & { readonly emqx: NonNullable<PassDeps['emqx']> },
    private readonly claims: Claims,
    private readonly retained: Pick<RetainedIds, 'idOf'>,
  ) {}

  /** What fails for one seat is noted there, and it has no result. Throws when EMQX or the queue's database is away. */
  async send(parcels: readonly Parcel[]): Promise<Map<Parcel, Delivered>> {
    const wanted = await this.wanted(parcels);
    const loads = await this.claim(wanted);
    await eachOf(loads, PARALLEL, (load) => guarded(load.parcel, () => this.prepare(load)));
    const well = loads.filter(({ parcel }) => parcel.seat.error === null);
    const results = new Map<Parcel, Delivered>();
    for (const load of await this.withoutAcknowledged(well)) results.set(load.parcel, emptyResult(load));
    await this.publish(well.filter(({ due }) => due.length > 0), results);
    return results;
  }

  /** What a run may be sent, as far as it is its own business. */
  private async wanted(parcels: readonly Parcel[]): Promise<Wish[]> {
    const wishes: Wish[] = [];
    await eachOf(parcels, PARALLEL, (parcel) =>
      guarded(parcel, async () => {
        const { run, policy } = parcel;
        const sentByEmqx = await this.sentByEmqx(parcel);
        if (sentByEmqx !== null) await this.settle(parcel, [sentByEmqx]);
        const messages = parcel.messages.filter((message) => message !== sentByEmqx && (isAcked(message, run) || policy.qos0 !== 'skip'));
        wishes.push({ parcel, messages });
      }),
    );
    return wishes;
  }

  /** Claims what nobody else is being sent. */
  private async claim(wishes: readonly Wish[]): Promise<Load[]> {
    const isKept = ({ run, policy }: Parcel, message: Message) => policy.qos0 === 'keep' && !isAcked(message, run);
    const kept = wishes.map(({ parcel, messages }) => messages.filter((message) => isKept(parcel, message)).map(({ id }) => id));
    const onces = await this.claims.takeOnce(wishes.map(({ parcel: { seat, run } }, i) => ({ mailbox: seat.key, subscribedAt: run.at, ids: kept[i] ?? [] })));
    const candidates = wishes.map(({ parcel, messages }, i) => messages.filter((message) => !isKept(parcel, message) || onces[i]?.get(message.id) === 'granted'));
    const ofKind = (keeps: boolean) =>
      wishes.map(({ parcel }, i) => ({ mailbox: parcel.seat.key, mode: parcel.policy.mode, ids: (candidates[i] ?? []).filter((each) => isKept(parcel, each) === keeps).map(({ id }) => id) }));
    // What is kept is claimed against storms only: the client's next subscription is sent it again.
    const [clocked, keptOnes] = [await this.claims.take(ofKind(false)), await this.claims.take(ofKind(true), STORM_MS)];
    return wishes.map(({ parcel }, i): Load => {
      const own = candidates[i] ?? [];
      const leased = (message: Message) => clocked[i]?.get(message.id) ?? keptOnes[i]?.get(message.id) ?? 'held';
      const stop = own.findIndex((message) => leased(message) === 'own' && !isKept(parcel, message));
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
    await this.claims.giveUpOnce(parcel.seat.key, parcel.run.at, unsent.filter((id) => once.has(id)));
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

  /** At the last moment: acknowledgements go on arriving, and are accepted and on their way to the store. */
  private async withoutAcknowledged(loads: readonly Load[]): Promise<readonly Load[]> {
    const asked = loads.flatMap(({ parcel, due }) => (isAskable(parcel) ? due.map(({ id }) => ({ id, reader: readerOf(parcel) })) : []));
    const isKnown = await this.deps.acks.known(asked);
    for (const load of loads) if (isAskable(load.parcel)) load.due = load.due.filter(({ id }) => !isKnown(id, readerOf(load.parcel)));
    return loads;
  }

  private async publish(loads: readonly Load[], results: Map<Parcel, Delivered>): Promise<void> {
    const { now, emqx } = this.deps;
    const sentAt = now();
    const late = loads.filter(({ parcel }) => sentAt - parcel.readAt > FRESH_MS);
    for (const { parcel, due, once } of late) {
      await this.free(parcel, due, once);
      results.delete(parcel);
      parcel.seat.error = new RetryableError(`what was read ${sentAt - parcel.readAt} ms ago is read again`);
    }
    const ready = loads.filter((load) => !late.includes(load));
    if (ready.length === 0) return;
    const items = ready.flatMap(({ parcel, due }) => due.map((message) => this.deliveryOf(message, parcel, sentAt)));
    let outcomes: readonly PublishOutcome[];
    try {
      outcomes = await emqx.publish(items);
    } catch (error) {
      // Nothing was published. They must be found free, or later ones would go first.
      for (const { parcel, due, once } of ready) await this.free(parcel, due, once);
      throw error;
    }
    let from = 0;
    for (const load of ready) {
      const own = outcomes.slice(from, (from += load.due.length));
      await this.note(load, own, sentAt, results);
    }
  }

  private async note(load: Load, outcomes: readonly PublishOutcome[], sentAt: number, results: Map<Parcel, Delivered>): Promise<void> {
    const { parcel, due, once } = load;
    const { run, seat } = parcel;
    const of = (result: PublishOutcome['result']) => due.filter((_, i) => outcomes[i]?.result === result);
    try {
      const delivered = of('delivered');
      const unclocked = delivered.filter((message) => !isAcked(message, run));
      const copies = due.flatMap((message, i): [string, Copy][] => {
        const outcome = outcomes[i];
        if (!isAcked(message, run) || outcome === undefined || (outcome.result !== 'delivered' && outcome.result !== 'unknown')) return [];
        return [[message.id, copyOf(message, run, sentAt, outcome.result === 'delivered' ? outcome.id : null)]];
      });
      results.set(parcel, { ...emptyResult(load), copies, unclocked, isOver: load.isOver || of('no-subscribers').length > 0 });
      this.deps.metrics.messagesDelivered.inc(delivered.length);
      await this.free(parcel, [...of('no-subscribers'), ...of('unsent')], once);
      await this.settle(parcel, unclocked);
      await this.refuse(parcel, due, outcomes);
      // What was published is noted; the run tries the others again by itself.
      const unsent = outcomes.find((outcome) => outcome.result === 'unsent');
      if (unsent?.result === 'unsent') seat.error = unsent.error;
    } catch (error) {
      seat.error = error;
    }
  }

  /** They were not sent. */
  private async free({ seat, run }: Parcel, messages: readonly Message[], once: ReadonlySet<string>): Promise<void> {
    const ids = messages.map(({ id }) => id);
    await this.claims.giveUp(seat.key, ids);
    await this.claims.giveUpOnce(seat.key, run.at, ids.filter((id) => once.has(id)));
  }

  private deliveryOf(message: Message, { seat, run, policy }: Parcel, now: number): Delivery {
    const toInbox = policy.deliverTo === 'inbox';
    const topic = toInbox ? inboxTopic(run.clientid, message.topic) : message.topic;
    // Others may be subscribed to the topic with a greater QoS; EMQX takes the lesser of both for each of them.
    const qos = toInbox ? (Math.min(message.qos, run.qos) as Message['qos']) : message.qos;
    return deliveryOf(message, { topic, qos, now }, this.deps.signer, addressOf(seat, run, toInbox));
  }

  /** The topic's retained message where nobody acknowledges it: EMQX sent it on the subscription. Whoever acknowledges is asked by waiting (RunReader). */
  private async sentByEmqx({ messages, run }: Parcel): Promise<Message | null> {
    const unacknowledged = messages.filter((message) => message.retain && !isAcked(message, run));
    const [first] = unacknowledged;
    if (first === undefined || splitShare(run.filter).group !== null) return null;
    const newest = await this.retained.idOf(first.topic);
    const message = unacknowledged.find(({ id }) => id === newest);
    return message !== undefined && (await this.isRetained(message)) ? message : null;
  }

  private async isRetained({ topic, id }: Message): Promise<boolean> {
    try {
      return ((await this.deps.emqx.retainer?.idOf(topic)) ?? '') >= id;
    } catch (error) {
      if (!(error instanceof RetryableError || error instanceof RefusedError)) throw error;
      // Rather twice than never, and an EMQX that only can't tell this must not hold up the client.
      return false;
    }
  }

  /** Nobody acknowledges a QoS 0 delivery: under this policy EMQX having taken it is enough (promise 16). */
  private async settle({ seat, run, policy }: Parcel, messages: readonly Message[]): Promise<void> {
    if (policy.qos0 !== 'settle' || messages.length === 0) return;
    const filters = [splitShare(run.filter).filter].filter(isWildcard);
    if (policy.mode === 'pubsub') await seat.read(messages.map(({ topic, id }) => ({ topic, id, filters })));
    else await this.remove(messages, this.deps.now() + TOMBSTONE_MS);
  }

  /** What EMQX refuses for one client's inbox, whose id may be too long for a topic, stays stored for the others (promise 20). */
  private async refuse({ seat, policy, run }: Parcel, messages: readonly Message[], outcomes: readonly PublishOutcome[]): Promise<void> {
    for (const [i, message] of messages.entries()) {
      const outcome = outcomes[i];
      if (outcome?.result !== 'refused') continue;
      if (policy.deliverTo === 'inbox') {
        const reason = `EMQX refused it for the inbox of client ${run.clientid.slice(0, 100)}: ${outcome.reason}`;
        if (await this.claims.isFirstRefusal(seat.key, message.id)) await this.deps.setAside(message, reason);
      } else {
        await this.deps.setAside(message, `EMQX refused it: ${outcome.reason}`);
        // No tombstone: an operator may repair the cause and retry the dead letter.
        await this.remove([message], 0);
      }
    }
  }

  private async remove(messages: readonly Message[], tombstoneUntil: number): Promise<void> {
    await this.deps.store.removeMessages(messages, tombstoneUntil);
    this.deps.metrics.messagesRemoved.inc(messages.length);
  }
}

function isAcked({ qos }: Message, run: Run): boolean {
  return Math.min(qos, run.qos) > 0;
}

async function guarded({ seat }: Parcel, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    seat.error = error;
  }
}

function emptyResult({ isBlocked, isStopped, hasInbox, isOver }: Load): Delivered {
  return { copies: [], unclocked: [], isBlocked, isOver, isStopped, hasInbox };
}

function copyOf({ topic, qos }: Message, run: Run, sentAt: number, emqxId: string | null): Copy {
  return { topic, qos: Math.min(qos, run.qos) as Copy['qos'], clientid: run.clientid, filter: run.filter, sentAt, emqxId, isMissing: false };
}

/** EMQX gives what is published for a group to any of its members. */
function addressOf(seat: Seat, run: Run, toInbox: boolean): Address {
  if (isGroup(seat.mailbox)) return { mailbox: seat.key, kind: 'group' };
  return { mailbox: seat.key, kind: !toInbox && splitShare(run.filter).group !== null ? 'member' : 'own' };
}

/** Whose acknowledgements count for a group in pubsub mode is known only later (acks.ts). */
function isAskable({ seat, policy }: Parcel): boolean {
  return policy.mode === 'queue' || !isGroup(seat.mailbox);
}

/** null: whoever acknowledges it, it is done (queue mode). */
function readerOf({ policy, run }: Parcel): string | null {
  return policy.mode === 'queue' ? null : run.clientid;
}
