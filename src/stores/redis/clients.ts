import { lastSubscriptions, newestStates } from '../shared/newest';
import { compareText } from '../shared/order';
import { clampQos } from '../../mqtt/qos';
import { isOver, isThere } from '../shared/unseen';
import type { ClientState, ClientStore, Purged, StateTimes, Subscription, SubscriptionRef } from '../store';
import type { Command, Database } from './database';
import type { Keys } from './keys';
import { pairsOf } from './rows';
import { CHANGE, FORGET_CLIENT, FORGET_FIELD, FORGET_MEMBER, REPORT, TAKE_FIELD } from './scripts';

/** Times below this are in seconds. As ms they would be before 1973. */
const SECONDS_BELOW = 100_000_000_000;
/** In place of a subscription's time. As a number it is NaN, so that it is never due. */
const ASSIGNED = 'assigned';

/** Client state and subscriptions. */
export class Clients implements ClientStore {
  constructor(
    private readonly db: Database,
    private readonly keys: Keys,
  ) {}

  async saveClientStates(states: readonly ClientState[]): Promise<void> {
    const newest = newestStates(states);
    const written = await this.db.all<number>(newest.map((state) => this.change(state)));
    const changed = newest.filter((_, i) => written[i] === 1);
    await this.db.all(
      changed.flatMap((state): Command[] => [['ZADD', this.keys.clientsSeen, state.at, state.clientid], ...this.notePresence(state)]),
    );
  }

  private change({ clientid, connected, node, connectedAt, disconnectedAt, at }: ClientState): Command {
    const times = [
      ...(connectedAt === null ? [] : ['online_at', connectedAt]),
      ...(disconnectedAt === null ? [] : ['offline_at', disconnectedAt]),
    ];
    return ['EVAL', CHANGE, 1, this.keys.client(clientid), at, 'state', connected ? 1 : 0, 'node', node ?? '', 'known', 1, ...times];
  }

  /** Keeps EMQX's own hash of connected clients up to date, for its readers. */
  private notePresence({ clientid, connected, node, connectedAt, at }: ClientState): Command[] {
    if (node === null) return [];
    return [connected ? ['HSET', this.keys.node(node), clientid, connectedAt ?? at] : ['HDEL', this.keys.node(node), clientid]];
  }

  async getClientState(clientid: string): Promise<ClientState | null> {
    const names = ['state', 'node', 'online_at', 'offline_at', 'changed_at', 'known'];
    const [state, node, online, offline, changed, known] = await this.db.one<(string | null)[]>(
      'HMGET',
      this.keys.client(clientid),
      ...names,
    );
    if (state == null) return null;
    // Times in a hash of EMQX's plugin may be in seconds.
    const ms = (text: string | null | undefined) =>
      text == null ? null : known != null || Number(text) >= SECONDS_BELOW ? Number(text) : Number(text) * 1_000;
    const [connectedAt, disconnectedAt] = [ms(online), ms(offline)];
    const at = changed == null ? Math.max(connectedAt ?? 0, disconnectedAt ?? 0) : Number(changed);
    return {
      clientid,
      connected: state === '1' || state === 'true',
      node: node == null || node === '' ? null : node,
      connectedAt,
      disconnectedAt,
      at,
    };
  }

  /**
   * The index of times is written first, so that every time can be found, and each time before its subscription: one
   * that is there without a time is an assigned one.
   */
  async putSubscriptions(subscriptions: readonly Subscription[]): Promise<void> {
    const last = lastSubscriptions(subscriptions);
    const isTimeless = await this.timeless(last.filter(({ seenAt }) => seenAt !== undefined));
    await this.db.all(
      last.map(({ clientid, topic, seenAt }): Command => {
        const key = this.keys.subscriptionsSeenOf(clientid);
        return seenAt === undefined
          ? ['HSET', key, topic, ASSIGNED]
          : ['EVAL', REPORT, 1, key, topic, seenAt, isTimeless({ clientid, topic }) ? 1 : 0];
      }),
    );
    await this.db.all(last.map(({ clientid, topic, qos }) => ['HSET', this.keys.subscriptions(clientid), topic, qos]));
  }

  /** Enters the clients of reported subscriptions in the index. @returns whether one of them is stored without a time. */
  private async timeless(reported: readonly Subscription[]): Promise<(ref: SubscriptionRef) => boolean> {
    const answers = await this.db.all<number>(
      reported.flatMap(({ clientid, topic, seenAt }): Command[] => [
        ['ZADD', this.keys.subscriptionsSeen, seenAt ?? 0, clientid],
        ['HEXISTS', this.keys.subscriptionsSeenOf(clientid), topic],
        ['HEXISTS', this.keys.subscriptions(clientid), topic],
      ]),
    );
    const timeless = reported.filter((_, i) => answers[3 * i + 1] === 0 && answers[3 * i + 2] === 1);
    const names = new Set(timeless.map(({ clientid, topic }) => JSON.stringify([clientid, topic])));
    return ({ clientid, topic }) => names.has(JSON.stringify([clientid, topic]));
  }

  async deleteSubscriptions(refs: readonly SubscriptionRef[]): Promise<void> {
    const keysOf = ({ clientid }: SubscriptionRef) => [this.keys.subscriptions(clientid), this.keys.subscriptionsSeenOf(clientid)];
    await this.db.all(refs.flatMap((ref) => keysOf(ref).map((key): Command => ['HDEL', key, ref.topic])));
  }

  async listSubscriptions(clientid: string): Promise<Subscription[]> {
    const fields = pairsOf(await this.db.one<string[]>('HGETALL', this.keys.subscriptions(clientid)));
    return fields.map(([topic, qos]) => ({ clientid, topic, qos: clampQos(Number(qos)) })).sort((a, b) => compareText(a.topic, b.topic));
  }

  /**
   * A client that its state shows as seen meanwhile gets that time as its score, so that its next check is postponed
   * accordingly.
   */
  async purgeSubscriptions(before: number, limit: number): Promise<Purged> {
    const clients = await this.unseen(this.keys.subscriptionsSeen, before, limit);
    const states = await Promise.all(clients.map((clientid) => this.getClientState(clientid)));
    const there = states.filter((state) => state !== null).filter((state) => isThere(state, before));
    await this.db.all(
      there.map(({ clientid, connected, at }) => ['ZADD', this.keys.subscriptionsSeen, 'XX', connected ? Date.now() : at, clientid]),
    );
    const gone = clients.filter((_, i) => !isThere(states[i] ?? null, before));
    const times = await this.db.all<string[]>(gone.map((clientid) => ['HGETALL', this.keys.subscriptionsSeenOf(clientid)]));
    const due = gone
      .flatMap((clientid, i) => pairsOf(times[i] ?? []).map(([topic, at]) => ({ clientid, topic, at })))
      .filter(({ at }) => Number(at) <= before);
    const removed = await this.removeUnlessReported(due);
    await this.db.all(gone.map((clientid) => this.forget(this.keys.subscriptionsSeen, clientid, before)));
    return { removed, more: clients.length >= limit };
  }

  /**
   * The subscription goes before its time: without a time, one that is reported at this moment would become an assigned
   * one. If the time has changed meanwhile, an event has reported the subscription, so it is put back.
   * @returns how many were removed.
   */
  private async removeUnlessReported(due: readonly (SubscriptionRef & { readonly at: string })[]): Promise<number> {
    const taken = await this.db.all<string | null>(
      due.map(({ clientid, topic }) => ['EVAL', TAKE_FIELD, 1, this.keys.subscriptions(clientid), topic]),
    );
    const deleted = await this.db.all<number>(
      due.map(({ clientid, topic, at }) => ['EVAL', FORGET_FIELD, 1, this.keys.subscriptionsSeenOf(clientid), topic, at]),
    );
    const changed = due.flatMap((ref, i) => (deleted[i] === 1 || taken[i] == null ? [] : [{ ...ref, qos: taken[i] }]));
    const times = await this.db.all<number>(
      changed.map(({ clientid, topic }) => ['HEXISTS', this.keys.subscriptionsSeenOf(clientid), topic]),
    );
    const reported = changed.filter((_, i) => times[i] === 1);
    await this.db.all(reported.map(({ clientid, topic, qos }) => ['HSETNX', this.keys.subscriptions(clientid), topic, qos]));
    return deleted.filter((each) => each === 1).length;
  }

  async purgeClientStates(before: StateTimes, limit: number): Promise<Purged> {
    const clients = await this.unseen(this.keys.clientsSeen, before.disconnected, limit);
    const states = await Promise.all(clients.map((clientid) => this.getClientState(clientid)));
    const assigned = await Promise.all(clients.map((clientid) => this.hasAssigned(clientid)));
    const isNeeded = (_: string, i: number) => assigned[i] === true || (states[i] != null && !isOver(states[i], before));
    const kept = clients.filter(isNeeded);
    await this.db.all(kept.map((clientid) => ['ZADD', this.keys.clientsSeen, 'XX', Date.now(), clientid]));
    const gone = clients.filter((clientid, i) => !isNeeded(clientid, i));
    const read = await this.db.all<(string | null)[]>(gone.map((clientid) => ['HMGET', this.keys.client(clientid), 'changed_at', 'node']));
    // A state is deleted only if it is still the one that was judged.
    const at = new Map(clients.map((clientid, i) => [clientid, states[i]?.at]));
    const same = (clientid: string, changed: string | null | undefined) => changed == null || Number(changed) === at.get(clientid);
    const deleted = await this.db.all<number>(
      gone.map((clientid, i) => [
        'EVAL',
        FORGET_CLIENT,
        1,
        this.keys.client(clientid),
        same(clientid, read[i]?.[0]) ? (read[i]?.[0] ?? '') : 'changed',
      ]),
    );
    const removed = gone.filter((_, i) => deleted[i] === 1);
    await this.db.all(
      gone.flatMap((clientid, i): Command[] =>
        deleted[i] === 1 && read[i]?.[1] != null ? [['HDEL', this.keys.node(read[i][1]), clientid]] : [],
      ),
    );
    await this.db.all(gone.map((clientid) => this.forget(this.keys.clientsSeen, clientid, before.disconnected)));
    return { removed: removed.length, more: clients.length >= limit };
  }

  private async hasAssigned(clientid: string): Promise<boolean> {
    const [topics = [], times = []] = await this.db.all<string[]>([
      ['HKEYS', this.keys.subscriptions(clientid)],
      ['HGETALL', this.keys.subscriptionsSeenOf(clientid)],
    ]);
    const timeOf = new Map(pairsOf(times));
    return topics.some((topic) => (timeOf.get(topic) ?? ASSIGNED) === ASSIGNED);
  }

  /** The members that were not seen for the longest time. */
  private unseen(key: string, before: number, limit: number): Promise<string[]> {
    return this.db.one<string[]>('ZRANGEBYSCORE', key, '-inf', before, 'LIMIT', 0, limit);
  }

  private forget(key: string, member: string, before: number): Command {
    return ['EVAL', FORGET_MEMBER, 1, key, member, before];
  }
}
