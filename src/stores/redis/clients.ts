import { lastSubscriptions, newestStates } from '../shared/newest';
import { compareText } from '../shared/order';
import { clampQos } from '../../mqtt/qos';
import { isOver, isThere } from '../shared/unseen';
import type { ClientState, ClientStore, Purged, StateTimes, Subscription, SubscriptionRef } from '../store';
import type { Command, Database } from './database';
import type { Keys } from './keys';
import { CHANGE, FORGET_CLIENT, FORGET_FIELD, FORGET_MEMBER, REFRESH } from './scripts';

/** Times below this are in seconds. As ms they would be before 1973. */
const SECONDS_BELOW = 100_000_000_000;

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

  async putSubscriptions(subscriptions: readonly Subscription[]): Promise<void> {
    const last = lastSubscriptions(subscriptions);
    const assigned = last.filter(({ seenAt }) => seenAt === undefined);
    await this.db.all(assigned.map(({ clientid, topic }) => ['HDEL', this.keys.subscriptionsSeenOf(clientid), topic]));
    const isNew = await this.db.all<number>(
      last.map(({ clientid, topic, qos }) => ['HSET', this.keys.subscriptions(clientid), topic, qos]),
    );
    const seen = last.flatMap(({ clientid, topic, seenAt }, i) =>
      seenAt === undefined ? [] : [{ clientid, topic, seenAt, isNew: isNew[i] === 1 }],
    );
    // A subscription that existed without a time is an assigned one. The index of times is written first, so that every
    // time can be found.
    await this.db.all(seen.map(({ clientid, seenAt }) => ['ZADD', this.keys.subscriptionsSeen, seenAt, clientid]));
    await this.db.all(
      seen.map(({ clientid, topic, seenAt, isNew }): Command => {
        const key = this.keys.subscriptionsSeenOf(clientid);
        return isNew ? ['HSET', key, topic, seenAt] : ['EVAL', REFRESH, 1, key, topic, seenAt];
      }),
    );
  }

  async deleteSubscriptions(refs: readonly SubscriptionRef[]): Promise<void> {
    const keysOf = ({ clientid }: SubscriptionRef) => [this.keys.subscriptions(clientid), this.keys.subscriptionsSeenOf(clientid)];
    await this.db.all(refs.flatMap((ref) => keysOf(ref).map((key): Command => ['HDEL', key, ref.topic])));
  }

  async listSubscriptions(clientid: string): Promise<Subscription[]> {
    const fields = fieldsOf(await this.db.one<string[]>('HGETALL', this.keys.subscriptions(clientid)));
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
      .flatMap((clientid, i) => fieldsOf(times[i] ?? []).map(([topic, at]) => ({ clientid, topic, at })))
      .filter(({ at }) => Number(at) <= before);
    const deleted = await this.db.all<number>(
      due.map(({ clientid, topic, at }) => ['EVAL', FORGET_FIELD, 1, this.keys.subscriptionsSeenOf(clientid), topic, at]),
    );
    const removed = due.filter((_, i) => deleted[i] === 1);
    await this.db.all(removed.map(({ clientid, topic }) => ['HDEL', this.keys.subscriptions(clientid), topic]));
    await this.db.all(gone.map((clientid) => this.forget(this.keys.subscriptionsSeen, clientid, before)));
    return { removed: removed.length, more: clients.length >= limit };
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
    const [all, seen] = await this.db.all<number>([
      ['HLEN', this.keys.subscriptions(clientid)],
      ['HLEN', this.keys.subscriptionsSeenOf(clientid)],
    ]);
    return (all ?? 0) > (seen ?? 0);
  }

  /** The members that were not seen for the longest time. */
  private unseen(key: string, before: number, limit: number): Promise<string[]> {
    return this.db.one<string[]>('ZRANGEBYSCORE', key, '-inf', before, 'LIMIT', 0, limit);
  }

  private forget(key: string, member: string, before: number): Command {
    return ['EVAL', FORGET_MEMBER, 1, key, member, before];
  }
}

/** Redis answers with a list: field, value, field, value, ... */
function fieldsOf(pairs: readonly string[]): [string, string][] {
  return pairs.flatMap((field, i): [string, string][] => (i % 2 === 0 ? [[field, pairs[i + 1] ?? '']] : []));
}
