import type { Policy } from '../../config/policies';
import type { OfflineEvent } from '../../events/event';
import type { Item } from '../../queue/jobs';
import type { Lanes } from '../../queue/lanes';
import { policyFor } from '../policy';
import type { AcceptedAcks } from './accepted-acks';
import { route } from './route';
import type { Signer } from '../signature';

/** The way of an event from the door into the queue. */
export class Ingest {
  constructor(
    private readonly lanes: Pick<Lanes, 'put'>,
    private readonly policies: readonly Policy[],
    private readonly signer: Signer,
    private readonly acks: Pick<AcceptedAcks, 'note'>,
  ) {}

  /** Resolves when the queue has all of them durably (promise 1); writes go in before the deliveries that came with them. */
  async accept(events: readonly OfflineEvent[]): Promise<void> {
    const items = events.flatMap((event) => route(event, this.policies, this.signer));
    await Promise.all(items.map((item) => Promise.all([this.lanes.put(item, sizeOf(item)), this.noteAck(item)])));
  }

  private async noteAck(item: Item): Promise<void> {
    if (!('write' in item) || item.write.kind !== 'ack') return;
    const { id, topic, clientid } = item.write;
    await this.acks.note(id, policyFor(this.policies, topic)?.mode === 'pubsub' ? clientid : null);
  }
}

/** About what an item takes in memory and in its job beside the payload. */
const OVERHEAD_BYTES = 500;

function sizeOf(item: Item): number {
  return OVERHEAD_BYTES + ('write' in item && item.write.kind === 'publish' ? item.write.message.payload.length : 0);
}
