import type { Delivery, PublishOutcome } from '../../emqx/api';
import { RetryableError } from '../../base/errors';
import type { Message } from '../../mqtt/message';
import { inboxTopic, splitShare } from '../../mqtt/topic';
import { isGroup, UNTOLD, type Copy, type Run } from '../box/mailbox';
import type { Claims } from '../claims';
import { deliveryOf } from '../delivery';
import type { RetainedIds } from '../retained/retained-ids';
import type { Address } from '../signature';
import { GRACE_MS } from '../times';
import { Claiming } from './claiming';
import type { SenderDeps } from './deps';
import { isAcked, type Delivered, type Load, type Parcel } from './parcel';
import type { Seat } from './seat';
import { Settling } from './settling';

/**
 * Messages are not sent if they were read, or their mailbox was loaded, longer ago than this (ms). This process stood
 * still or a database was slow, so its claims may have ended, and another consumer may have the messages or have
 * acknowledged them.
 */
const FRESH_MS = GRACE_MS / 2;

/** Publishes the parcels of many mailboxes in as few requests as possible. */
export class Sender {
  private readonly claiming: Claiming;
  private readonly settling: Settling;

  constructor(
    private readonly deps: SenderDeps,
    claims: Claims,
    retained: Pick<RetainedIds, 'idOf'>,
  ) {
    this.settling = new Settling(deps, claims, retained);
    this.claiming = new Claiming(deps, claims, this.settling);
  }

  /**
   * @returns the results. An error for one seat is noted in the seat, and its parcels have no result.
   * @throws when EMQX or the queue's database is away.
   */
  async send(parcels: readonly Parcel[]): Promise<Map<Parcel, Delivered>> {
    const well = await this.claiming.claimed(parcels);
    const results = new Map<Parcel, Delivered>();
    for (const load of await this.withoutAcknowledged(well)) results.set(load.parcel, emptyResult(load));
    await this.publish(
      well.filter(({ due }) => due.length > 0),
      results,
    );
    return results;
  }

  /**
   * Leaves out messages that were acknowledged up to this moment, because accepted acknowledgements may still be on
   * their way to the store.
   */
  private async withoutAcknowledged(loads: readonly Load[]): Promise<readonly Load[]> {
    const asked = loads.flatMap(({ parcel, due }) => (isAskable(parcel) ? due.map(({ id }) => ({ id, reader: readerOf(parcel) })) : []));
    const isKnown = await this.deps.acks.known(asked);
    for (const load of loads) if (isAskable(load.parcel)) load.due = load.due.filter(({ id }) => !isKnown(id, readerOf(load.parcel)));
    return loads;
  }

  private async publish(loads: readonly Load[], results: Map<Parcel, Delivered>): Promise<void> {
    const { now, emqx } = this.deps;
    const sentAt = now();
    // If one parcel of a mailbox is too old, none of its parcels is sent: newer messages must not overtake older ones
    // that are read again (promise 6).
    const late = new Set(
      loads.filter(({ parcel }) => sentAt - Math.min(parcel.readAt, parcel.seat.freshAt) > FRESH_MS).map(({ parcel }) => parcel.seat),
    );
    const ready = loads.filter(({ parcel }) => !late.has(parcel.seat));
    for (const { parcel, due, once } of loads.filter((load) => !ready.includes(load))) {
      await this.claiming.free(parcel, due, once);
      results.delete(parcel);
      parcel.seat.error = new RetryableError(`the messages or their mailbox were read more than ${FRESH_MS} ms ago; they are read again`);
    }
    if (ready.length === 0) return;
    const items = ready.flatMap(({ parcel, due }) => due.map((message) => this.deliveryOf(message, parcel, sentAt)));
    let outcomes: readonly PublishOutcome[];
    try {
      outcomes = await emqx.publish(items);
    } catch (error) {
      // Nothing was published, so the claims are released: otherwise the next try would send later messages first. With
      // any other error it is unknown what was published, so the claims stay.
      if (error instanceof RetryableError) for (const { parcel, due, once } of ready) await this.claiming.free(parcel, due, once);
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
      const unclocked = delivered.filter((message) => !isAcked(message, parcel));
      const copies = due.flatMap((message, i): [string, Copy][] => {
        const outcome = outcomes[i];
        if (!isAcked(message, parcel) || outcome === undefined || (outcome.result !== 'delivered' && outcome.result !== 'unknown'))
          return [];
        return [[message.id, copyOf(message, run, sentAt, outcome.result === 'delivered' ? (outcome.id ?? UNTOLD) : null)]];
      });
      results.set(parcel, { ...emptyResult(load), copies, unclocked, isOver: load.isOver || of('no-subscribers').length > 0 });
      this.deps.metrics.messagesDelivered.inc(delivered.length);
      await this.claiming.free(parcel, [...of('no-subscribers'), ...of('unsent')], once);
      await this.settling.settle(parcel, unclocked);
      await this.settling.refuse(parcel, due, outcomes);
      await this.claiming.free(parcel, of('refused'), once);
      // The messages that were published are noted. The seat's error makes its events be repeated, and the run then
      // sends the others.
      const unsent = outcomes.find((outcome) => outcome.result === 'unsent');
      if (unsent?.result === 'unsent') seat.error = unsent.error;
    } catch (error) {
      seat.error = error;
    }
  }

  private deliveryOf(message: Message, { seat, run, policy }: Parcel, now: number): Delivery {
    const toInbox = policy.deliverTo === 'inbox';
    const topic = toInbox ? inboxTopic(run.clientid, message.topic) : message.topic;
    // On a normal topic the message's own QoS is used, because other clients may have subscribed with a greater QoS
    // than this one. EMQX takes the lesser of both for each subscriber.
    const qos = toInbox ? (Math.min(message.qos, run.qos) as Message['qos']) : message.qos;
    return { ...deliveryOf(message, { topic, qos, now }, this.deps.signer, addressOf(seat, run, toInbox)), clientid: run.clientid };
  }
}

function emptyResult({ isBlocked, isStopped, hasInbox, isOver }: Load): Delivered {
  return { copies: [], unclocked: [], isBlocked, isOver, isStopped, hasInbox };
}

function copyOf({ topic, qos }: Message, run: Run, sentAt: number, emqxId: string | null): Copy {
  return {
    topic,
    qos: Math.min(qos, run.qos) as Copy['qos'],
    clientid: run.clientid,
    filter: run.filter,
    sentAt,
    emqxId,
    isMissing: false,
  };
}

/**
 * EMQX may give a message that is published for a group to any member, so the mark says that any member's
 * acknowledgement counts.
 */
function addressOf(seat: Seat, run: Run, toInbox: boolean): Address {
  if (isGroup(seat.mailbox)) return { mailbox: seat.key, kind: 'group' };
  return { mailbox: seat.key, kind: !toInbox && splitShare(run.filter).group !== null ? 'member' : 'own' };
}

/**
 * Whether accepted acknowledgements can be looked up for the parcel. For a group in pubsub mode it is known only later
 * whose acknowledgements count (acks.ts).
 */
function isAskable({ seat, policy }: Parcel): boolean {
  return policy.mode === 'queue' || !isGroup(seat.mailbox);
}

/** null in queue mode, where the acknowledgement of any client settles the message. */
function readerOf({ policy, run }: Parcel): string | null {
  return policy.mode === 'queue' ? null : run.clientid;
}
