import type { ClientChange } from '../../lanes/jobs';
import type { ClientState, Store } from '../../stores/store';
import { eachOf, groupBy } from '../../base/parallel';
import { stateAfter, type ConnectionChange } from './presence';
import type { SubscriptionChange, Subscriptions } from './subscriptions';

export interface ClientsDeps {
  readonly store: Pick<Store, 'saveClientStates' | 'getClientState'>;
  readonly subscriptions: Pick<Subscriptions, 'apply' | 'restore' | 'assign' | 'withdraw'>;
  readonly now: () => number;
}

/** How many clients are handled in parallel. */
const PARALLEL = 16;
/**
 * A stored state that is further in the future than this (ms) was written while a clock was wrong. It is ignored,
 * because otherwise no event could replace it.
 */
const MAX_AHEAD_MS = 3_600_000;

/** Writes client states and subscriptions, and subscribes again for a client that connects. */
export class Clients {
  constructor(private readonly deps: ClientsDeps) {}

  /**
   * Applies the changes in the order of each client's events (its lane).
   * @returns the errors that concern one client alone, by client id (promise 20).
   */
  async apply(all: readonly ClientChange[]): Promise<ReadonlyMap<string, unknown>> {
    // Some rules send client.connected only to tell about the session. Such an event does not change the client's
    // state.
    const changes = all.filter((change) => !(change.kind === 'connected' && change.sessionOnly === true));
    const failed = new Map<string, unknown>();
    const byClient = [...groupBy(changes, ({ clientid }) => clientid)];
    const states = await this.keepStates(byClient);
    const single = (await this.keepPlain(byClient)) ? byClient.filter(([, own]) => !own.every(isSubscription)) : byClient;
    await eachOf(single, PARALLEL, async ([clientid, own]) => {
      try {
        await this.keepSubscriptions(clientid, own, states.get(clientid) ?? null);
      } catch (error) {
        failed.set(clientid, error);
      }
    });
    return failed;
  }

  /**
   * Handles all clients together that only subscribed and unsubscribed.
   * @returns false when that failed; each client is then tried by itself.
   */
  private async keepPlain(byClient: readonly [string, readonly ClientChange[]][]): Promise<boolean> {
    const changes = byClient.flatMap(([, own]) => (own.every(isSubscription) ? own : []));
    if (changes.length === 0) return true;
    return this.deps.subscriptions.apply(changes).then(
      () => true,
      () => false,
    );
  }

  /** @returns the states of the clients that connected or disconnected. */
  private async keepStates(byClient: readonly [string, readonly ClientChange[]][]): Promise<Map<string, ClientState>> {
    const states = new Map<string, ClientState>();
    const changed: ClientState[] = [];
    await eachOf(byClient, PARALLEL, async ([clientid, own]) => {
      const changes = own.filter(isConnection);
      if (changes.length === 0) return;
      const known = await this.deps.store.getClientState(clientid);
      const state = changes.reduce<ClientState | null>(stateAfter, this.credible(known)) as ClientState;
      states.set(clientid, state);
      // The store keeps the state with the greatest `at`. Of two states with the same `at` it may keep either, so the
      // new one gets a greater `at`.
      if (state !== known) changed.push({ ...state, at: Math.max(state.at, (known?.at ?? -1) + 1) });
    });
    if (changed.length > 0) await this.deps.store.saveClientStates(changed);
    return states;
  }

  private credible(state: ClientState | null): ClientState | null {
    return state !== null && state.at <= this.deps.now() + MAX_AHEAD_MS ? state : null;
  }

  /**
   * Applies the client's own changes first. The server need not make subscriptions that the client has made itself
   * since it connected.
   */
  private async keepSubscriptions(clientid: string, changes: readonly ClientChange[], state: ClientState | null): Promise<void> {
    const { subscriptions } = this.deps;
    let own: SubscriptionChange[] = [];
    const flush = async () => {
      if (own.length > 0) await subscriptions.apply(own);
      own = [];
    };
    for (const change of changes) {
      if (isSubscription(change)) own.push(change);
      if (change.kind === 'assigned' || change.kind === 'withdrawn') await flush();
      if (change.kind === 'assigned') await subscriptions.assign(clientid, change.subscriptions);
      if (change.kind === 'withdrawn') await subscriptions.withdraw(clientid, change.filters);
    }
    await flush();
    const connectedAt = state?.connected ? state.connectedAt : null;
    // Only an event of the current connection causes subscriptions. A repeated job makes them once more, which changes
    // nothing.
    const connection = changes.find((change) => change.kind === 'connected' && change.at === connectedAt);
    if (connectedAt === null || connection?.kind !== 'connected') return;
    const made = changes.flatMap((change) => (change.kind === 'subscribed' && change.at >= connectedAt ? [change.filter] : []));
    await subscriptions.restore(clientid, { since: connectedAt, except: new Set(made), mountpoint: connection.mountpoint });
  }
}

function isConnection(change: ClientChange): change is ConnectionChange {
  return change.kind === 'connected' || change.kind === 'disconnected';
}

function isSubscription(change: ClientChange): change is SubscriptionChange {
  return change.kind === 'subscribed' || change.kind === 'unsubscribed';
}
