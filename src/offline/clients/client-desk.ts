import type { ClientDesk as Desk, DeliveryView } from '../../http/services';
import type { ClientChange } from '../../queue/jobs';
import type { Lanes } from '../../queue/lanes';
import type { SharedState } from '../../queue/state';
import type { Subscription } from '../../stores/store';
import { clientConsumer } from '../positions/consumer';
import { isEmpty } from '../deliver/window';
import { loadWindow } from '../deliver/windows';

export interface ClientDeskDeps {
  readonly lanes: Pick<Lanes, 'put'>;
  readonly state: Pick<SharedState, 'get'>;
  readonly now: () => number;
}

/** What an operator asks for about a client goes the way of events, through the client's lane: it takes its turn among them. */
export class ClientDesk implements Desk {
  constructor(private readonly deps: ClientDeskDeps) {}

  assign(clientid: string, subscriptions: readonly Omit<Subscription, 'clientid'>[]): Promise<void> {
    const own = subscriptions.map(({ topic, qos }) => ({ clientid, topic, qos }));
    return this.put({ kind: 'assigned', clientid, subscriptions: own, at: this.deps.now() });
  }

  withdraw(clientid: string, filter: string | null): Promise<void> {
    return this.put({ kind: 'withdrawn', clientid, filters: filter === null ? null : [filter], at: this.deps.now() });
  }

  async delivery(clientid: string): Promise<DeliveryView | null> {
    const window = await loadWindow(this.deps.state, clientConsumer(clientid));
    if (isEmpty(window)) return null;
    const sentAt = Object.values(window.inFlight);
    return {
      unacknowledged: sentAt.length,
      oldest_sent_at: sentAt.length === 0 ? null : sentAt.reduce((oldest, at) => Math.min(oldest, at)),
      waiting: window.runs.map(({ filter, qos, topic, id }) => ({ filter, qos, topic: topic === '' ? null : topic, after: id === '' ? null : id })),
    };
  }

  private put(change: ClientChange): Promise<void> {
    return this.deps.lanes.put([{ change }]);
  }
}
