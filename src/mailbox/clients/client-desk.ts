import type { components } from '../../contract/openapi';
import type { ClientChange } from '../../lanes/jobs';
import type { Lanes } from '../../lanes/lanes';
import type { SharedState } from '../../lanes/state';
import type { Subscription } from '../../stores/store';
import { clientKey } from '../../mqtt/consumer';
import { loadMailbox } from '../pass/boxes';

/** How a delivery to the client stands. */
export type DeliveryView = components['schemas']['DeliveryProgress'];

export interface ClientDeskDeps {
  readonly lanes: Pick<Lanes, 'put'>;
  readonly state: Pick<SharedState, 'load'>;
  readonly now: () => number;
}

/** What an operator asks for about a client goes the way of events, through the client's lane: it takes its turn among them. */
export class ClientDesk {
  constructor(private readonly deps: ClientDeskDeps) {}

  /** The broker makes exactly these subscriptions for the client from now on; resolves when the queue has the request. */
  assign(clientid: string, subscriptions: readonly Omit<Subscription, 'clientid'>[]): Promise<void> {
    const own = subscriptions.map(({ topic, qos }) => ({ clientid, topic, qos }));
    return this.put({ kind: 'assigned', clientid, subscriptions: own, at: this.deps.now() });
  }

  /** Ends one of them, or all (null); resolves when the queue has the request. */
  withdraw(clientid: string, filter: string | null): Promise<void> {
    return this.put({ kind: 'withdrawn', clientid, filters: filter === null ? null : [filter], at: this.deps.now() });
  }

  /** null: nothing is on its way to the client. A run that only looks once more for late publishes is nothing. */
  async delivery(clientid: string): Promise<DeliveryView | null> {
    const mailbox = await loadMailbox(this.deps.state, clientKey(clientid));
    if (mailbox === null) return null;
    const sentAt = [...mailbox.out.values()].map((copy) => copy.sentAt);
    const waiting = mailbox.runs.flatMap(({ filter, qos, cursor }) =>
      cursor === null ? [] : [{ filter, qos, topic: cursor.topic || null, after: cursor.id || null }],
    );
    if (sentAt.length === 0 && waiting.length === 0 && mailbox.again.length === 0) return null;
    return {
      unacknowledged: sentAt.length,
      oldest_sent_at: sentAt.length === 0 ? null : sentAt.reduce((oldest, at) => Math.min(oldest, at)),
      waiting,
    };
  }

  private put(change: ClientChange): Promise<void> {
    return this.deps.lanes.put([{ mail: { to: clientKey(change.clientid), kind: 'change', change } }]);
  }
}
