import type { Policy } from '../config/policies';
import type { OfflineEvent } from '../events/event';
import type { Item } from '../lanes/jobs';
import type { Lanes } from '../lanes/lanes';
import { policyFor } from '../policies/policy';
import type { AcceptedAcks } from '../mailbox/accepted-acks';
import { route } from './route';
import type { Signer } from '../mailbox/signature';

/** The way of an event from the door into the queue. */
export class Ingest {
  constructor(
    private readonly lanes: Pick<Lanes, 'put'>,
    private readonly policies: readonly Policy[],
    private readonly signer: Signer,
    private readonly acks: Pick<AcceptedAcks, 'note'>,
  ) {}

  /**
   * Resolves when the queue has all of them durably (promise 1); writes go in before the deliveries that came with them. Throws OverloadedError
   * before anything is taken, and UnavailableError when the queue takes too long: what it has taken all the same has, with EMQX's repetition, the effect of once.
   */
  async accept(events: readonly OfflineEvent[]): Promise<void> {
    const items = events.flatMap((event) => route(event, this.policies, this.signer));
    if (items.length === 0) return;
    const acks = items.flatMap((item) => this.acksOf(item));
    if (acks.length === 0) return this.lanes.put(items);
    await Promise.all([this.lanes.put(items), ...acks.map(({ id, reader }) => this.acks.note(id, reader))]);
  }

  private acksOf(item: Item): { id: string; reader: string | null }[] {
    if (!('write' in item) || item.write.kind !== 'ack') return [];
    const { id, topic, clientid } = item.write;
    return [{ id, reader: policyFor(this.policies, topic)?.mode === 'pubsub' ? clientid : null }];
  }
}
