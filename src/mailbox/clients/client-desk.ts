import type { components } from '../../contract/openapi';
import type { ClientChange } from '../../lanes/jobs';
import type { Lanes } from '../../lanes/lanes';
import type { SharedState } from '../../lanes/state';
import type { Subscription } from '../../stores/store';
import { clientKey } from '../../mqtt/consumer';
import { loadMailbox } from '../pass/boxes';

/** The state of the delivery to a client. */
export type DeliveryView = components['schemas']['DeliveryProgress'];

export interface ClientDeskDeps {
  readonly lanes: Pick<Lanes, 'put'>;
  readonly state: Pick<SharedState, 'load'>;
  readonly now: () => number;
}

/**
 * Puts an operator's request about a client into the client's lane, so that it is handled in order with the client's
 * events.
 */
export class ClientDesk {
  constructor(private readonly deps: ClientDeskDeps) {}

  /**
   * From now on the broker makes exactly these subscriptions for the client. Resolves when the queue has stored the
   * request.
   */
  assign(clientid: string, subscriptions: readonly Omit<Subscription, 'clientid'>[]): Promise<void> {
    const own = subscriptions.map(({ topic, qos }) => ({ clientid, topic, qos }));
    return this.put({ kind: 'assigned', clientid, subscriptions: own, at: this.deps.now() });
  }

  /** Ends one of these subscriptions, or all (null). Resolves when the queue has stored the request. */
  withdraw(clientid: string, filter: string | null): Promise<void> {
    return this.put({ kind: 'withdrawn', clientid, filters: filter === null ? null : [filter], at: this.deps.now() });
  }

  /** null if nothing is on its way to the client. A run that only waits to look for late publishes does not count. */
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
