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
  /** null: no EMQX_API_KEY. */
  readonly emqx: (Pick<EmqxApi, 'subscribeAll' | 'unsubscribeAll'> & Partial<Pick<EmqxApi, 'session' | 'messageQueues'>>) | null;
  readonly state: Pick<SharedState, 'getAll' | 'setAll'>;
  /** A subscription that EMQX will never make. */
  readonly setAside: (subscription: Subscription, reason: string) => Promise<void>;
  readonly now: () => number;
}

export interface Restoring {
  /** When the client connected (ms, EMQX's clock). */
  readonly since: number;
  /** What it has subscribed to since. */
  readonly except: ReadonlySet<string>;
  /** null: it has none; undefined: unknown. */
  readonly mountpoint?: string | null | undefined;
}

export type SubscriptionChange = Extract<ClientChange, { kind: 'subscribed' | 'unsubscribed' }>;

/** Clients' subscriptions in the store, and in EMQX. Its lane runs one job at a time: nothing here needs a lock. */
export class Subscriptions {
  constructor(private readonly deps: SubscriptionsDeps) {}

  /**
   * What clients did, of each in the order of arrival. The store first, then EMQX, and what we remember last: whatever a crash leaves undone
   * is done when the job runs again. A few round trips, however many clients.
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
   * The client is connected, since then: EMQX is asked for what is stored, except what it has just subscribed to itself. EMQX fires session.subscribed for
   * each, and that delivers what is stored. A client that is gone meanwhile needs nothing.
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

  /** Exactly these from now on; for a connected client at once. EMQX's events about it come back as the client's own. */
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

  /** `filters` null: all that are stored. */
  async withdraw(clientid: string, filters: readonly string[] | null): Promise<void> {
    const stored = await this.deps.store.listSubscriptions(clientid);
    const chosen = stored.map(({ topic }) => topic).filter((topic) => filters === null || filters.includes(topic));
    await this.remove(clientid, chosen);
  }

  /** EMQX first: after a crash between the two the store still says what there was to do. */
  private async remove(clientid: string, filters: readonly string[]): Promise<void> {
    if (filters.length === 0) return;
    await this.unsubscribe(clientid, filters);
    await this.deps.store.deleteSubscriptions(filters.map((topic) => ({ clientid, topic })));
  }

  /** @returns false when the client is not connected. `known`: the client's mountpoint; undefined: EMQX is asked. */
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

  /** '': none, or EMQX can't tell. */
  private async mountpointOf(clientid: string): Promise<string> {
    try {
      return (await this.deps.emqx?.session?.(clientid))?.mountpoint ?? '';
    } catch (error) {
      // A client id that no path can name, or a key that may not look.
      if (error instanceof RefusedError || error instanceof ForbiddenError) return '';
      throw error;
    }
  }

  /** With EMQX 6's message queues `$queue/{name}` is no topic filter: the client alone knows whether it wants to take from a queue. */
  private async withoutQueues<T extends { readonly topic: string }>(subscriptions: readonly T[]): Promise<readonly T[]> {
    const isQueue = ({ topic }: T): boolean => topic.startsWith('$queue/');
    if (!subscriptions.some(isQueue) || (await this.deps.emqx?.messageQueues?.()) !== true) return subscriptions;
    return subscriptions.filter((each) => !isQueue(each));
  }

  /** Our subscription came after the client's unsubscribe, or has another QoS than it asked for meanwhile. */
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

/** Rows may be older than we are, or an operator's. Inboxes are subscribed when something is sent there. */
function isRestorable(filter: string): boolean {
  return filterProblem(filter) === null && !isInbox(splitShare(filter).filter);
}
