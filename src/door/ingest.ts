import type { Metrics } from '../base/metrics';
import type { Policy } from '../config/policies';
import type { OfflineEvent } from '../events/event';
import type { Item } from '../lanes/jobs';
import type { Lanes } from '../lanes/lanes';
import type { AcceptedAcks } from '../mailbox/accepted-acks';
import type { EventLag } from '../mailbox/event-lag';
import { reasonNotStored, route } from './route';
import type { Signer } from '../mailbox/signature';

/** Puts accepted events into the queue. */
export class Ingest {
  constructor(
    private readonly lanes: Pick<Lanes, 'put'>,
    private readonly policies: readonly Policy[],
    private readonly signer: Signer,
    private readonly acks: Pick<AcceptedAcks, 'note' | 'forget'>,
    private readonly lag: Pick<EventLag, 'note'>,
    private readonly metrics: Pick<Metrics, 'messagesNotStored'>,
  ) {}

  /**
   * Resolves when the queue has stored all events durably (promise 1). Writes are put into the queue before the
   * deliveries that came with them.
   * @throws OverloadedError before any event was put into the queue.
   * @throws UnavailableError if the queue takes too long. The queue may have some of the events then. EMQX sends all of
   *   them again, and handling an event twice has the effect of once.
   */
  async accept(events: readonly OfflineEvent[]): Promise<void> {
    for (const event of events) if (event.type === 'acked') this.lag.note(event.at, Date.now());
    const routed = events.map((event) => ({ event, items: route(event, this.policies, this.signer) }));
    const all = routed.flatMap(({ items }) => items);
    if (all.length > 0) await this.put(all);
    // The events are counted only now, because EMQX sends rejected events again.
    const now = Date.now();
    for (const { event, items } of routed) {
      // The reason is looked up only for messages that are not stored, because most messages are.
      const reason = items.some((item) => isStored(item, now)) ? null : reasonNotStored(event, this.policies, this.signer, now);
      if (reason !== null) this.metrics.messagesNotStored.inc({ reason });
    }
  }

  private async put(items: Item[]): Promise<void> {
    const acks = items.flatMap(acksOf);
    if (acks.length === 0) return this.lanes.put(items);
    const [put, noted] = await Promise.allSettled([
      this.lanes.put(items),
      Promise.all(acks.map(({ id, reader }) => this.acks.note(id, reader))),
    ]);
    // An acknowledgement that the queue did not take must not keep its message from being sent.
    if (put.status === 'rejected') await this.acks.forget(acks);
    for (const result of [put, noted]) if (result.status === 'rejected') throw result.reason;
  }
}

/** Whether the item stores a message that has not expired. `now` is in ms. */
function isStored(item: Item, now: number): boolean {
  if (!('write' in item) || item.write.kind !== 'publish' || item.write.retained === 'only') return false;
  return (item.write.message.expiresAt ?? Infinity) > now;
}

/** `reader` is null in queue mode, where the acknowledgement of any client settles the message. */
function acksOf(item: Item): { id: string; reader: string | null }[] {
  if ('write' in item) return item.write.kind === 'ack' ? [{ id: item.write.id, reader: null }] : [];
  const { mail } = item;
  return mail.kind === 'acked' && mail.isRead === true ? [{ id: mail.id, reader: mail.clientid }] : [];
}
