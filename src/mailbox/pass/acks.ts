import type { Acknowledged, MailEvent } from '../../lanes/jobs';
import { clientConsumer, mailboxKey } from '../../mqtt/consumer';
import { splitShare } from '../../mqtt/topic';
import type { Store, Subscription } from '../../stores/store';
import type { AcceptedAcks } from '../accepted-acks';
import { readersOf, wildcardsOf } from '../positions/readers';
import type { ReadRef } from '../positions/positions';
import type { Seat } from './seat';

/**
 * How often a client's subscriptions are noted as seen. This is far below the 14 days after which the server deletes
 * old subscriptions at the earliest.
 */
const KEEP_EVERY_MS = 24 * 3_600_000;
const CLIENTS_REMEMBERED = 10_000;

export interface AcksDeps {
  readonly store: Pick<Store, 'listSubscriptions' | 'putSubscriptions'>;
  readonly acks: Pick<AcceptedAcks, 'settled'>;
  readonly now: () => number;
}

type Settled = { readonly id: string; readonly reader: string };

/**
 * Finds out who has read what a client acknowledged in pubsub mode: the client, groups that it is a member of according
 * to its subscriptions, or both.
 */
export class Acks {
  /** By client id: when its subscriptions were last noted as seen (ms). */
  private readonly seen = new Map<string, number>();

  constructor(private readonly deps: AcksDeps) {}

  /**
   * @returns mail for the groups' mailboxes, and the acknowledgements whose effect is in the store once the positions
   * are saved.
   */
  async apply(seat: Seat, events: readonly Acknowledged[], isRepeated: boolean): Promise<{ mail: MailEvent[]; settled: Settled[] }> {
    const { now } = this.deps;
    const ofGroup = events.filter(({ group }) => group !== undefined);
    if (ofGroup.length > 0) await this.readByGroup(seat, ofGroup);
    const own = events.filter(({ group, isRead }) => group === undefined && isRead === true);
    const others = events.filter(({ group, isRead }) => group === undefined && isRead !== true);
    for (const { id, ours } of others) seat.learn({ kind: 'acked', id, isCopy: ours }, now());
    const [first] = own;
    if (first === undefined) return { mail: [], settled: [] };
    const mail = await this.readByClient(seat, first.clientid, own, isRepeated);
    return { mail, settled: own.map(({ id, clientid }) => ({ id, reader: clientid })) };
  }

  /** Runs in the client's lane, after the subscriptions that the client made before. */
  private async readByClient(seat: Seat, clientid: string, events: readonly Acknowledged[], isRepeated: boolean): Promise<MailEvent[]> {
    const { store, now } = this.deps;
    const subscriptions = await store.listSubscriptions(clientid);
    const isMember = subscriptions.some(({ topic }) => splitShare(topic).group !== null);
    if (isMember) await this.keep(clientid, subscriptions);
    const read: ReadRef[] = [];
    const mail: MailEvent[] = [];
    for (const ack of events) {
      const { client, groups, sure } = readersOf(subscriptions, ack.topic);
      const isOwn = ack.ours && seat.mailbox.out.has(ack.id);
      if (client || isOwn)
        read.push({ topic: ack.topic, id: ack.id, filters: wildcardsOf(subscriptions, clientConsumer(clientid), ack.topic) });
      seat.learn({ kind: 'acked', id: ack.id, isCopy: ack.ours && ack.isOfGroup !== true }, now());
      // The acknowledgement counts for a group only if no subscription of the client's own can have brought the
      // message. The client may have unsubscribed that one meanwhile. A repeated job can't tell by `out`, because its
      // first run has changed the mailbox.
      const isSure = sure && !isOwn && !(ack.ours && ack.isOfGroup !== true && isRepeated);
      for (const consumer of groups) {
        const group = { consumer, sure: isSure, filters: wildcardsOf(subscriptions, consumer, ack.topic) };
        mail.push({ ...ack, to: mailboxKey(consumer), isRead: false, group });
      }
    }
    await seat.read(read);
    return mail;
  }

  /**
   * A member that may have got the message by another subscription has read it for the group only if the group was sent
   * it. If EMQX delivered the message itself, nothing tells by which subscription, and the group may get it again.
   */
  private async readByGroup(seat: Seat, events: readonly Acknowledged[]): Promise<void> {
    const read: ReadRef[] = [];
    for (const { id, topic, group, ours, isOfGroup } of events) {
      const isOut = seat.mailbox.out.has(id);
      if (group?.sure === true || isOut) read.push({ topic, id, filters: group?.filters ?? [] });
      if (group?.sure === true || isOut) {
        // EMQX's own copy, or one for the member itself, leaves the group's copy with the member that got it.
        seat.learn({ kind: 'acked', id, isCopy: ours && isOfGroup === true }, this.deps.now());
      }
    }
    await seat.read(read);
  }

  /**
   * Notes the subscriptions of a member that acknowledges as seen, because no event may tell of them again. Example: a
   * client stays connected for months, with the rule `offline-messages`. Without this its subscriptions would be
   * deleted as old ones, and its acknowledgements would no longer count for its group.
   */
  private async keep(clientid: string, subscriptions: readonly Subscription[]): Promise<void> {
    const now = this.deps.now();
    if (now - (this.seen.get(clientid) ?? -Infinity) < KEEP_EVERY_MS) return;
    if (this.seen.size >= CLIENTS_REMEMBERED) this.seen.clear();
    await this.deps.store.putSubscriptions(subscriptions.map((each) => ({ ...each, seenAt: now })));
    this.seen.set(clientid, now);
  }
}
