import type { Policy } from '../../config/policies';
import { within } from '../../deadline';
import { UnavailableError } from '../../errors';
import type { OfflineEvent } from '../../events/event';
import type { Item, MessageEvent } from '../../queue/jobs';
import type { Lanes } from '../../queue/lanes';
import { policyFor } from '../policy';
import type { AcceptedAcks } from './accepted-acks';
import { route } from './route';
import type { Signer } from '../signature';

/** Whoever posts must not wait for longer: one write of the queue may have to wait for another one before it. ms. */
const ACCEPT_MS = 9_000;

/** The way of an event from the door into the queue. */
export class Ingest {
  constructor(
    private readonly lanes: Pick<Lanes, 'put'>,
    private readonly policies: readonly Policy[],
    private readonly signer: Signer,
    private readonly acks: Pick<AcceptedAcks, 'note'>,
  ) {}

  /**
   * Resolves when the queue has all of them durably (promise 1); writes go in before the deliveries that came with them. Throws UnavailableError
   * when that takes too long: what is taken all the same has, with EMQX's repetition, the effect of once.
   */
  async accept(events: readonly OfflineEvent[]): Promise<void> {
    const items = events.flatMap((event) => route(event, this.policies, this.signer));
    const taken = Promise.all(items.map((item) => Promise.all([this.lanes.put(item, sizeOf(item)), this.noteAck(item)])));
    await within(ACCEPT_MS, taken, () => new UnavailableError(`the queue has not taken it within ${ACCEPT_MS / 1_000} s`));
  }

  /** What an earlier process accepted and the store does not have yet: as if it were accepted now (AcceptedAcks). */
  async remember(events: AsyncIterable<MessageEvent>): Promise<void> {
    for await (const write of events) await this.noteAck({ write });
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
