import { RefusedError } from '../../base/errors';
import { ForbiddenError, type EmqxApi } from '../../emqx/api';
import { filterProblem } from '../../mqtt/validity';
import type { ClientChange } from '../../lanes/jobs';
import type { SharedState } from '../../lanes/state';
import type { Store, Subscription, SubscriptionRef } from '../../stores/store';
import { groupBy } from '../../base/parallel';
import { GRACE_MS } from '../times';
import { isExclusiveOf, isInbox, splitShare, unmounted } from '../../mqtt/topic';
import { afterAsking, afterEvent, isOff, type Subscribed, type Wish } from './wish';
import { recallWishes, rememberWishes } from './wishes';

export interface SubscriptionsDeps {
  readonly store: Pick<Store, 'putSubscriptions' | 'deleteSubscriptions' | 'listSubscriptions'>;
  /** null if EMQX_API_KEY is not set. */
  readonly emqx: (Pick<EmqxApi, 'subscribeAll' | 'unsubscribeAll'> & Partial<Pick<EmqxApi, 'session' | 'messageQueues'>>) | null;
  readonly state: Pick<SharedState, 'getAll' | 'setAll'>;
  /** Sets aside a subscription that EMQX will never make. */
  readonly setAside: (subscription: Subscription, reason: string) => Promise<void>;
  readonly now: () => number;
}

export interface Restoring {
  /** When the client connected (ms, EMQX's clock). */
  readonly since: number;
  /** Topic filters that the client has subscribed to since then. */
  readonly except: ReadonlySet<string>;
  /** null if the client has no mountpoint; undefined if that is unknown. */
  readonly mountpoint?: string | null | undefined;
}

export type SubscriptionChange = Extract<ClientChange, { kind: 'subscribed' | 'unsubscribed' }>;

/**
 * Keeps clients' subscriptions in the store and in EMQX. A client's lane runs one job at a time, so no lock is needed.
 */
export class Subscriptions {
  constructor(private readonly deps: SubscriptionsDeps) {}

  /**
   * Applies what clients did, for each client in the order of arrival. The store is written first, then EMQX, and the
   * wishes last: what a crash leaves undone is done when the job runs again. The number of round trips does not depend
   * on the number of clients, except for corrections in EMQX.
   */
  async apply(changes: readonly SubscriptionChange[]): Promise<void> {
    const { store, state, now } = this.deps;
    const refs = [...groupBy(changes, ({ clientid, filter }) => JSON.stringify([clientid, filter])).values()].map((own) => ({
      ref: refOf(own[0] as SubscriptionChange),
      own,
    }));
    const known = await recallWishes(
      state,
      refs.map(({ ref }) => ref),
    );
    const wishes = refs.map(({ ref, own }, i) => {
      const before = known[i] ?? null;
      return { ref, before, wish: own.reduce<Wish | null>((wish, change) => afterEvent(wish, wordOf(change), now()), before) as Wish };
    });
    const changed = wishes.filter(({ before, wish }) => wish.wanted !== before?.wanted);
    const added = changed.flatMap(({ ref, wish: { wanted } }) => (wanted.qos === null ? [] : [{ ...ref, qos: wanted.qos, seenAt: now() }]));
    const gone = changed.flatMap(({ ref, wish: { wanted } }) => (wanted.qos === null ? [ref] : []));
    if (added.length > 0) await store.putSubscriptions(added);
    if (gone.length > 0) await store.deleteSubscriptions(gone);
    const off = groupBy(
      wishes.filter(({ wish }) => isOff(wish, now())),
      ({ ref }) => ref.clientid,
    );
    const asked = new Map<string, Wish>();
    for (const [clientid, own] of off) {
      const corrected = await this.correct(
        clientid,
        own.map(({ ref, wish }) => ({ filter: ref.topic, wish })),
      );
      for (const [filter, wish] of corrected) asked.set(JSON.stringify([clientid, filter]), wish);
    }
    await rememberWishes(
      state,
      wishes.map(({ ref, wish }) => ({ ref, wish: asked.get(JSON.stringify([ref.clientid, ref.topic])) ?? wish })),
    );
  }

  /**
   * Subscribes a client that connected to its stored filters, except those that it has subscribed to itself since then.
   * EMQX fires session.subscribed for each, which starts the delivery. A client that has disconnected meanwhile needs
   * nothing.
   */
  async restore(clientid: string, { since, except, mountpoint }: Restoring): Promise<void> {
    if (this.deps.emqx === null) return;
    const stored = await this.deps.store.listSubscriptions(clientid);
    const due = await this.withoutQueues(
      stored.filter(({ topic }) => !except.has(topic) && isRestorable(topic) && !stored.some((other) => isExclusiveOf(other.topic, topic))),
    );
    if (!(await this.subscribe(clientid, due, mountpoint))) return;
    const wishes = await recallWishes(this.deps.state, due);
    const until = this.deps.now() + GRACE_MS;
    await rememberWishes(
      this.deps.state,
      due.map((ref, i) => ({ ref, wish: afterAsking(wishes[i] ?? null, { qos: ref.qos, since, until }) })),
    );
  }

  /**
   * Replaces the client's subscriptions by these; for a connected client at once. EMQX reports the change with the same
   * events as if the client had made it.
   */
  async assign(clientid: string, subscriptions: readonly Subscription[]): Promise<void> {
    const kept = new Set(subscriptions.map(({ topic }) => topic));
    const stored = await this.deps.store.listSubscriptions(clientid);
    await this.remove(
      clientid,
      stored.map(({ topic }) => topic).filter((topic) => !kept.has(topic)),
    );
    if (subscriptions.length > 0) await this.deps.store.putSubscriptions(subscriptions);
    await this.subscribe(clientid, subscriptions);
  }

  /** @param filters null for all stored filters. */
  async withdraw(clientid: string, filters: readonly string[] | null): Promise<void> {
    const stored = await this.deps.store.listSubscriptions(clientid);
    const chosen = stored.map(({ topic }) => topic).filter((topic) => filters === null || filters.includes(topic));
    await this.remove(clientid, chosen);
  }

  /** EMQX comes first: after a crash between the two steps the store still says what remains to be done. */
  private async remove(clientid: string, filters: readonly string[]): Promise<void> {
    if (filters.length === 0) return;
    await this.unsubscribe(clientid, filters);
    await this.deps.store.deleteSubscriptions(filters.map((topic) => ({ clientid, topic })));
  }

  /**
   * @param known the client's mountpoint; undefined: EMQX is asked for it.
   * @returns false when the client is not connected.
   */
  private async subscribe(clientid: string, subscriptions: readonly Subscription[], known?: string | null): Promise<boolean> {
    const { emqx, setAside } = this.deps;
    if (emqx === null || subscriptions.length === 0) return false;
    const mountpoint = known === undefined ? await this.mountpointOf(clientid) : (known ?? '');
    const { connected, refused } = await emqx.subscribeAll(
      clientid,
      subscriptions.map((each) => ({ ...each, topic: unmounted(each.topic, mountpoint) })),
    );
    for (const { reason, subscription } of refused)
      await setAside({ ...subscription, clientid }, `EMQX refused the subscription: ${reason}`);
    return connected;
  }

  private async unsubscribe(clientid: string, filters: readonly string[]): Promise<'unsubscribed' | 'not-connected'> {
    const { emqx } = this.deps;
    if (emqx === null) return 'not-connected';
    const mountpoint = await this.mountpointOf(clientid);
    return emqx.unsubscribeAll(
      clientid,
      filters.map((filter) => unmounted(filter, mountpoint)),
    );
  }

  /** '' if the client has no mountpoint, or if EMQX can't tell. */
  private async mountpointOf(clientid: string): Promise<string> {
    try {
      return (await this.deps.emqx?.session?.(clientid))?.mountpoint ?? '';
    } catch (error) {
      // EMQX's API can't name this client id in a path, or the key may not read clients.
      if (error instanceof RefusedError || error instanceof ForbiddenError) return '';
      throw error;
    }
  }

  /**
   * With message queues (EMQX 6) `$queue/{name}` is not a topic filter. Only the client knows whether it wants to
   * consume from a queue, so the server does not subscribe it.
   */
  private async withoutQueues<T extends { readonly topic: string }>(subscriptions: readonly T[]): Promise<readonly T[]> {
    const isQueue = ({ topic }: T): boolean => topic.startsWith('$queue/');
    if (!subscriptions.some(isQueue) || (await this.deps.emqx?.messageQueues?.()) !== true) return subscriptions;
    return subscriptions.filter((each) => !isQueue(each));
  }

  /**
   * Corrects a subscription in EMQX: the server made it after the client's unsubscribe, or with another QoS than the
   * client has asked for meanwhile.
   */
  private async correct(clientid: string, off: readonly { filter: string; wish: Wish }[]): Promise<[string, Wish][]> {
    const { emqx, now } = this.deps;
    if (emqx === null || off.length === 0) return [];
    const unwanted = off.flatMap(({ filter, wish }) => (wish.wanted.qos === null ? [filter] : []));
    const wanted = off.flatMap(
      ({
        filter,
        wish: {
          wanted: { qos },
        },
      }) => (qos === null ? [] : [{ clientid, topic: filter, qos }]),
    );
    const left = unwanted.length === 0 || (await this.unsubscribe(clientid, unwanted)) === 'unsubscribed';
    const there = left && (wanted.length === 0 || (await this.subscribe(clientid, wanted)));
    const until = now() + GRACE_MS;
    return there ? off.map(({ filter, wish }) => [filter, afterAsking(wish, { qos: wish.wanted.qos, since: wish.made.at, until })]) : [];
  }
}

function refOf({ clientid, filter }: SubscriptionChange): SubscriptionRef {
  return { clientid, topic: filter };
}

function wordOf(change: SubscriptionChange): Subscribed {
  return { qos: change.kind === 'subscribed' ? change.qos : null, at: change.at };
}

/**
 * A row may be older than this check, or an operator may have written it. Inboxes are subscribed only when something is
 * sent to them.
 */
function isRestorable(filter: string): boolean {
  return filterProblem(filter) === null && !isInbox(splitShare(filter).filter);
}
