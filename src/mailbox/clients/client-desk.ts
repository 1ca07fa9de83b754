import { within } from '../../base/deadline';
import type { EmqxApi } from '../../emqx/api';
import type { components } from '../../contract/openapi';
import type { ClientChange } from '../../lanes/jobs';
import type { Lanes } from '../../lanes/lanes';
import type { SharedState } from '../../lanes/state';
import type { Policy } from '../../config/policies';
import type { Letters } from '../../dead-letters/letters';
import type { ClientState, Store, Subscription } from '../../stores/store';
import { clientKey } from '../../mqtt/consumer';
import { splitShare } from '../../mqtt/topic';
import { explain, filtersOf, type Explanation } from '../box/explain';
import { loadMailbox } from '../pass/boxes';

/** The state of the delivery to a client. */
export type DeliveryView = components['schemas']['DeliveryProgress'];

export interface ClientDeskDeps {
  readonly lanes: Pick<Lanes, 'put'>;
  readonly state: Pick<SharedState, 'load'>;
  readonly store: Pick<Store, 'listTopics'>;
  readonly letters: Pick<Letters, 'about'>;
  readonly policies: readonly Policy[];
  /** null: no EMQX_API_KEY. */
  readonly emqx: Pick<EmqxApi, 'health'> | null;
  readonly now: () => number;
}

/** How long EMQX has to answer for an explanation (ms). */
const EMQX_MS = 2_000;
/** How many filters of a client are looked up in the store for an explanation. */
const MOST_LOOKS = 10;

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

  /**
   * Why stored messages have or have not been delivered to the client, in sentences. `state` and `subscriptions` are
   * what the store has of it.
   */
  async explanation(clientid: string, state: ClientState | null, subscriptions: readonly Subscription[]): Promise<Explanation[]> {
    const { letters, policies, emqx, now } = this.deps;
    const mailbox = await loadMailbox(this.deps.state, clientKey(clientid));
    const [setAside, stored, isEmqxAway] = await Promise.all([
      letters.about(clientid),
      this.stored(filtersOf(mailbox, subscriptions)),
      this.isEmqxAway(),
    ]);
    return explain({ mailbox, state, subscriptions, stored, setAside, policies, delivers: emqx !== null, isEmqxAway }, now());
  }

  /** An EMQX that does not answer delays the operator's request by at most EMQX_MS. */
  private async isEmqxAway(): Promise<boolean> {
    const { emqx } = this.deps;
    if (emqx === null) return false;
    return within(
      EMQX_MS,
      emqx.health().then(({ ok }) => !ok),
      () => new Error('no answer'),
    ).catch(() => true);
  }

  /** By filter, whether the store has a topic that matches. */
  private async stored(filters: readonly string[]): Promise<Map<string, boolean>> {
    const looked = filters.slice(0, MOST_LOOKS);
    const found = await Promise.all(
      looked.map((filter) => this.deps.store.listTopics({ filter: splitShare(filter).filter, after: '', limit: 1 })),
    );
    return new Map(looked.map((filter, i) => [filter, (found[i] ?? []).length > 0]));
  }

  private put(change: ClientChange): Promise<void> {
    return this.deps.lanes.put([{ mail: { to: clientKey(change.clientid), kind: 'change', change } }]);
  }
}
