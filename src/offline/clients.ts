import { createHash } from 'node:crypto';
import type { EmqxApi } from '../emqx/api';
import type { ClientChange } from '../queue/jobs';
import type { SharedState } from '../queue/state';
import type { ClientState, Store } from '../stores/store';

export interface ClientsDeps {
  readonly store: Pick<Store, 'saveClientStates' | 'putSubscriptions' | 'deleteSubscriptions' | 'listSubscriptions'>;
  /** null: no EMQX_API_KEY. */
  readonly emqx: Pick<EmqxApi, 'subscribe'> | null;
  readonly state: Pick<SharedState, 'get' | 'set'>;
}

/** How long it is remembered when a subscription changed last: events of a client that are further apart don't overtake. ms. */
const MEMORY_MS = 10 * 60_000;

/** Keeps client state and subscriptions, and makes the subscriptions again for a client that connects. */
export class Clients {
  constructor(private readonly deps: ClientsDeps) {}

  /** In the order of events of each client (its lane); the store itself ignores a state that is older than what it has. */
  async apply(changes: readonly ClientChange[]): Promise<void> {
    const states = changes.flatMap((change) => stateOf(change) ?? []);
    if (states.length > 0) await this.deps.store.saveClientStates(states);
    for (const change of changes) {
      if (change.kind === 'subscribed' || change.kind === 'unsubscribed') await this.changeSubscription(change);
      else if (change.kind === 'connected') await this.restore(change.clientid);
    }
  }

  private async changeSubscription(change: Extract<ClientChange, { filter: string }>): Promise<void> {
    const { clientid, filter, at } = change;
    const key = `subscription:${createHash('sha256').update(JSON.stringify([clientid, filter])).digest('hex')}`;
    // An unsubscribe that arrives after a newer subscribe must not undo it, nor the other way round.
    if (Number((await this.deps.state.get(key)) ?? 0) > at) return;
    await this.deps.state.set(key, String(at), MEMORY_MS);
    if (change.kind === 'subscribed') await this.deps.store.putSubscriptions([{ clientid, topic: filter, qos: change.qos }]);
    else await this.deps.store.deleteSubscriptions([{ clientid, topic: filter }]);
  }

  /** EMQX fires session.subscribed for each of them, and that delivers what is stored. */
  private async restore(clientid: string): Promise<void> {
    if (this.deps.emqx === null) return;
    const subscriptions = await this.deps.store.listSubscriptions(clientid);
    if (subscriptions.length > 0) await this.deps.emqx.subscribe(clientid, subscriptions);
  }
}

function stateOf(change: ClientChange): ClientState | null {
  const { clientid, at } = change;
  switch (change.kind) {
    case 'connected':
      return { clientid, at, node: change.node, connected: true, connectedAt: at, disconnectedAt: null };
    case 'disconnected':
      return { clientid, at, node: change.node, connected: false, connectedAt: change.connectedAt, disconnectedAt: at };
    case 'subscribed':
    case 'unsubscribed':
      return null;
  }
}
