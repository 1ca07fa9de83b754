import type { Policy } from '../config/policies';
import type { OfflineEvent } from '../events/event';
import type { Lanes } from '../queue/lanes';
import { route, type Route } from './route';
import type { Signer } from './signature';

/** The way of an event from the door into the queue. */
export class Ingest {
  constructor(
    private readonly lanes: Pick<Lanes, 'write' | 'deliver'>,
    private readonly policies: readonly Policy[],
    private readonly signer: Signer,
  ) {}

  /** Resolves when the queue has all of them durably (promise 1); writes go in before the deliveries that came with them. */
  async accept(events: readonly OfflineEvent[]): Promise<void> {
    const routes = events.map((event) => route(event, this.policies, this.signer));
    await Promise.all(routes.map((each) => this.enqueue(each)));
  }

  private async enqueue(to: Route): Promise<void> {
    if (to === null) return;
    if ('deliver' in to) return this.lanes.deliver(to.deliver);
    const payload = to.write.kind === 'publish' ? to.write.message.payload.length : 0;
    return this.lanes.write(to.write, payload + EVENT_OVERHEAD_BYTES);
  }
}

/** About what an event takes in memory and in its job beside the payload. */
const EVENT_OVERHEAD_BYTES = 500;
