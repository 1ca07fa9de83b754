import type { EmqxApi } from '../../emqx/api';
import { filterProblem } from '../../mqtt/validity';
import type { ClientChange } from '../../lanes/jobs';
import type { SharedState } from '../../lanes/state';
import type { Store, Subscription } from '../../stores/store';
import { eachOf } from '../../base/parallel';
import { GRACE_MS } from '../times';
import { isInbox, splitShare } from '../../mqtt/topic';
import { afterAsking, afterEvent, isOff, type Wish } from './wish';
import { recallWish, rememberWish } from './wishes';

export interface SubscriptionsDeps {
  readonly store: Pick<Store, 'putSubscriptions' | 'deleteSubscriptions' | 'listSubscriptions'>;
  /** null: no EMQX_API_KEY. */
  readonly emqx: Pick<EmqxApi, 'subscribeAll' | 'unsubscribeAll'> | null;
  readonly state: Pick<SharedState, 'get' | 'set'>;
  /** A subscription that EMQX will never make. */
  readonly setAside: (subscription: Subscription, reason: string) => Promise<void>;
  readonly now: () => number;
}

export type SubscriptionChange = Extract<ClientChange, { kind: 'subscribed' | 'unsubscribed' }>;

/** Of small requests to the queue's database. */
const PARALLEL = 16;

/** One client's subscriptions in the store, and in EMQX. Its lane runs one job at a time: nothing here needs a lock. */
export class Subscriptions {
  constructor(private readonly deps: SubscriptionsDeps) {}

  /**
   * What the client did, in the order of arrival. The store first, then EMQX, and what we remember last: whatever a crash leaves undone
   * is done when the job runs again.
   */
  async apply(clientid: string, changes: readonly SubscriptionChange[]): Promise<void> {
    const { store, now } = this.deps;
    const before = await this.recall(clientid, [...new Set(changes.map(({ filter }) => filter))]);
    const after = new Map(before);
    for (const change of changes) {
      const qos = change.kind === 'subscribed' ? change.qos : null;
      after.set(change.filter, afterEvent(after.get(change.filter) ?? null, { qos, at: change.at }, now()));
    }
    const wishes = [...after].flatMap(([filter, wish]) => (wish === null ? [] : [{ clientid, filter, wish }]));
    const changed = wishes.filter(({ filter, wish }) => wish.wanted !== before.get(filter)?.wanted);
    const added = changed.flatMap(({ filter, wish: { wanted } }) => (wanted.qos === null ? [] : [{ clientid, topic: filter, qos: wanted.qos, seenAt: now() }]));
    const gone = changed.flatMap(({ filter, wish: { wanted } }) => (wanted.qos === null ? [{ clientid, topic: filter }] : []));
    if (added.length > 0) await store.putSubscriptions(added);
    if (gone.length > 0) await store.deleteSubscriptions(gone);
    const asked = await this.correct(clientid, wishes.filter(({ wish }) => isOff(wish, now())));
    await this.remember(clientid, new Map([...after, ...asked]));
  }

  /**
   * The client is connected, since then: EMQX is asked for what is stored, except what it has just subscribed to itself. EMQX fires session.subscribed for
   * each, and that delivers what is stored. A client that is gone meanwhile needs nothing.
   */
  async restore(clientid: string, since: number, except: ReadonlySet<string>): Promise<void> {
    if (this.deps.emqx === null) return;
    const stored = await this.deps.store.listSubscriptions(clientid);
    const due = stored.filter(({ topic }) => !except.has(topic) && isRestorable(topic));
    if (!(await this.subscribe(clientid, due))) return;
    const wishes = await this.recall(clientid, due.map(({ topic }) => topic));
    const until = this.deps.now() + GRACE_MS;
    await this.remember(clientid, new Map(due.map(({ topic, qos }) => [topic, afterAsking(wishes.get(topic) ?? null, { qos, since, until })])));
  }

  /** Exactly these from now on; for a connected client at once. EMQX's events about it come back as the client's own. */
  async assign(clientid: string, subscriptions: readonly Subscription[]): Promise<void> {
    const kept = new Set(subscriptions.map(({ topic }) => topic));
    const stored = await this.deps.store.listSubscriptions(clientid);
    await this.remove(clientid, stored.map(({ topic }) => topic).filter((topic) => !kept.has(topic)));
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
    await this.deps.emqx?.unsubscribeAll(clientid, filters);
    await this.deps.store.deleteSubscriptions(filters.map((topic) => ({ clientid, topic })));
  }

  /** @returns false when the client is not connected. */
  private async subscribe(clientid: string, subscriptions: readonly Subscription[]): Promise<boolean> {
    if (this.deps.emqx === null || subscriptions.length === 0) return false;
    const { connected, refused } = await this.deps.emqx.subscribeAll(clientid, subscriptions);
    for (const { reason, subscription } of refused) await this.deps.setAside({ ...subscription, clientid }, `EMQX refused the subscription: ${reason}`);
    return connected;
  }

  /** Our subscription came after the client's unsubscribe, or has another QoS than it asked for meanwhile. */
  private async correct(clientid: string, off: readonly { filter: string; wish: Wish }[]): Promise<[string, Wish][]> {
    const { emqx, now } = this.deps;
    if (emqx === null || off.length === 0) return [];
    const unwanted = off.flatMap(({ filter, wish }) => (wish.wanted.qos === null ? [filter] : []));
    const wanted = off.flatMap(({ filter, wish: { wanted: { qos } } }) => (qos === null ? [] : [{ clientid, topic: filter, qos }]));
    const left = unwanted.length === 0 || (await emqx.unsubscribeAll(clientid, unwanted)) === 'unsubscribed';
    const there = left && (wanted.length === 0 || (await this.subscribe(clientid, wanted)));
    const until = now() + GRACE_MS;
    return there ? off.map(({ filter, wish }) => [filter, afterAsking(wish, { qos: wish.wanted.qos, since: wish.made.at, until })]) : [];
  }

  private async recall(clientid: string, filters: readonly string[]): Promise<Map<string, Wish | null>> {
    const wishes = new Map<string, Wish | null>(filters.map((filter) => [filter, null]));
    await eachOf(filters, PARALLEL, async (filter) => {
      wishes.set(filter, await recallWish(this.deps.state, clientid, filter));
    });
    return wishes;
  }

  private async remember(clientid: string, wishes: ReadonlyMap<string, Wish | null>): Promise<void> {
    await eachOf([...wishes], PARALLEL, async ([filter, wish]) => {
      if (wish !== null) await rememberWish(this.deps.state, clientid, filter, wish);
    });
  }
}

/** Rows may be older than we are, or an operator's. Inboxes are subscribed when something is sent there. */
function isRestorable(filter: string): boolean {
  return filterProblem(filter) === null && !isInbox(splitShare(filter).filter);
}
