import type { Acknowledged, MailEvent } from '../../lanes/jobs';
import { clientConsumer, mailboxKey } from '../../mqtt/consumer';
import { splitShare } from '../../mqtt/topic';
import type { Store, Subscription } from '../../stores/store';
import type { AcceptedAcks } from '../accepted-acks';
import { readersOf, wildcardsOf } from '../positions/readers';
import type { ReadRef } from '../positions/positions';
import type { Seat } from './seat';

/** Old subscriptions are deleted after 14 days at the earliest. */
const KEEP_EVERY_MS = 24 * 3_600_000;
const CLIENTS_REMEMBERED = 10_000;

export interface AcksDeps {
  readonly store: Pick<Store, 'listSubscriptions' | 'putSubscriptions'>;
  readonly acks: Pick<AcceptedAcks, 'settled'>;
  readonly now: () => number;
}

type Settled = { readonly id: string; readonly reader: string };

/** Who has read what a client acknowledged in pubsub mode: the client, by its subscriptions the groups that it is a member of, or both. */
export class Acks {
  /** By client id: when its subscriptions were last noted as seen (ms). */
  private readonly seen = new Map<string, number>();

  constructor(private readonly deps: AcksDeps) {}

  /** @returns what the groups' mailboxes must hear, and what shows its effect in the store when the positions are saved. */
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

  /** In the client's lane, behind the subscriptions that it made before. */
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
      seat.learn({ kind: 'acked', id: ack.id, isCopy: ack.ours }, now());
      // It may have left the subscription of its own that brought it. A job that is repeated has changed the mailbox before.
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
   * A member that may have got the message by another subscription, too, has read it for the group if the group was sent it; of what EMQX
   * delivered itself nothing tells, and the group may get it again.
   */
  private async readByGroup(seat: Seat, events: readonly Acknowledged[]): Promise<void> {
    const read: ReadRef[] = [];
    for (const { id, topic, group } of events) {
      const isOut = seat.mailbox.out.has(id);
      if (group?.sure === true || isOut) read.push({ topic, id, filters: group?.filters ?? [] });
      if (group?.sure === true || isOut) seat.learn({ kind: 'acked', id, isCopy: true }, this.deps.now());
    }
    await seat.read(read);
  }

  /**
   * A member that acknowledges is there, although no event tells of its subscriptions again: example, a client that stays connected for months, with the
   * rule `offline-messages`. Without this its subscriptions would be deleted as old ones, and its acknowledgements would no longer count for its group.
   */
  private async keep(clientid: string, subscriptions: readonly Subscription[]): Promise<void> {
    const now = this.deps.now();
    if (now - (this.seen.get(clientid) ?? -Infinity) < KEEP_EVERY_MS) return;
    if (this.seen.size >= CLIENTS_REMEMBERED) this.seen.clear();
    await this.deps.store.putSubscriptions(subscriptions.map((each) => ({ ...each, seenAt: now })));
    this.seen.set(clientid, now);
  }
}
