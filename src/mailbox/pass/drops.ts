import type { Metrics } from '../../base/metrics';
import type { Dropped, MailEvent } from '../../lanes/jobs';
import { groupConsumer, mailboxKey } from '../../mqtt/consumer';
import { splitShare } from '../../mqtt/topic';
import type { Store } from '../../stores/store';
import type { Seat } from './seat';

const REASONS = new Set(['queue_full', 'expired', 'too_large', 'no_local', 'qos0_msg']);

export interface DropsDeps {
  readonly store: Pick<Store, 'listSubscriptions'>;
  readonly metrics: Pick<Metrics, 'deliveriesDropped'>;
  readonly now: () => number;
}

/** Handles copies that EMQX dropped (delivery.dropped). */
export class Drops {
  constructor(private readonly deps: DropsDeps) {}

  /** @returns mail for the groups whose copies the client had as a member. */
  async apply(seat: Seat): Promise<MailEvent[]> {
    const mail: MailEvent[] = [];
    for (const event of seat.events) {
      if (event.kind !== 'dropped') continue;
      const { group, ...own } = event;
      if (group === undefined) this.drop(seat, event);
      else if (await this.isMember(event.clientid, group)) mail.push({ ...own, to: group });
    }
    return mail;
  }

  private drop(seat: Seat, { id, copyId, reason }: Dropped): void {
    if (!seat.mailbox.out.has(id)) return;
    // Only EMQX's own reasons are used, because the reason is a label of a metric.
    this.deps.metrics.deliveriesDropped.inc({ reason: REASONS.has(reason) ? reason : 'other' });
    seat.learn({ kind: 'dropped', id, reason, copyId }, this.deps.now());
  }

  /**
   * Whether the client is a member of the group. A client with a plain subscription to the topic also gets the copies
   * that are sent for a group.
   */
  private async isMember(clientid: string, key: string): Promise<boolean> {
    const subscriptions = await this.deps.store.listSubscriptions(clientid);
    return subscriptions.some(({ topic }) => {
      const { group } = splitShare(topic);
      return group !== null && mailboxKey(groupConsumer(group)) === key;
    });
  }
}
