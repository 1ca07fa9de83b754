import { numberKey, NUMBER_BYTES, readNumber } from '../../embedded/keys';
import type { LongTable } from '../../embedded/long-table';
import { newestStates } from '../shared/newest';
import { isOver, isThere } from '../shared/unseen';
import type { ClientState, ClientStore, Purged, StateTimes, Subscription, SubscriptionRef } from '../store';
import { timeOf, type Database } from './database';
import { Subscriptions } from './subscriptions';
import { TimeIndex } from './time-index';

type Fields = Omit<ClientState, 'clientid'>;

/** Client states with an index by time, and subscriptions. */
export class Clients implements ClientStore {
  readonly states: LongTable;
  readonly subscriptions: Subscriptions;
  private readonly seen: TimeIndex;

  constructor(private readonly db: Database) {
    this.states = db.longTable('clients');
    this.subscriptions = new Subscriptions(db);
    this.seen = new TimeIndex(db.longTable('seen'), 'client');
  }

  saveClientStates(states: readonly ClientState[]): Promise<void> {
    return this.db.write(() => newestStates(states).forEach((state) => this.save(state)));
  }

  private save(state: ClientState): void {
    const key = Buffer.from(state.clientid);
    const value = this.states.get(key);
    const before = value === undefined ? null : toState(key, value);
    if (before !== null && before.at > state.at) return;
    // An event reports one of the two times. The other one keeps its value.
    const connectedAt = state.connectedAt ?? before?.connectedAt ?? null;
    const disconnectedAt = state.disconnectedAt ?? before?.disconnectedAt ?? null;
    this.put(key, { ...state, connectedAt, disconnectedAt }, value, timeOf(state.at));
  }

  /** The value is the time in the index, followed by JSON. */
  private put(
    key: Buffer,
    { connected, node, connectedAt, disconnectedAt, at }: ClientState,
    before: Buffer | undefined,
    seen: number,
  ): void {
    const fields: Fields = { connected, node, connectedAt, disconnectedAt, at };
    this.seen.move(before === undefined ? null : readNumber(before), seen, key);
    this.states.put(key, Buffer.concat([numberKey(seen), Buffer.from(JSON.stringify(fields))]));
  }

  getClientState(clientid: string): Promise<ClientState | null> {
    return this.db.read(() => this.stateOf(Buffer.from(clientid)));
  }

  private stateOf(key: Buffer): ClientState | null {
    const value = this.states.get(key);
    return value === undefined ? null : toState(key, value);
  }

  /** A state that is still needed gets the present time in the index, as if it had just changed. */
  purgeClientStates(before: StateTimes, limit: number): Promise<Purged> {
    return this.db.purge(limit, (step) => {
      const due = this.seen.due(before.disconnected, step);
      let removed = 0;
      for (const { key, time } of due) {
        const value = this.states.get(key) as Buffer;
        const state = toState(key, value);
        if (!isOver(state, before) || this.subscriptions.hasAssigned(state.clientid)) {
          this.put(key, state, value, timeOf(Math.max(Date.now(), before.disconnected + 1)));
          continue;
        }
        this.states.remove(key);
        this.seen.remove(time, key);
        removed++;
      }
      return { removed, more: due.length >= step };
    });
  }

  putSubscriptions(subscriptions: readonly Subscription[]): Promise<void> {
    return this.db.write(() => subscriptions.forEach((subscription) => this.subscriptions.put(subscription)));
  }

  deleteSubscriptions(refs: readonly SubscriptionRef[]): Promise<void> {
    return this.db.write(() => refs.forEach((ref) => this.subscriptions.remove(ref)));
  }

  listSubscriptions(clientid: string): Promise<Subscription[]> {
    return this.db.read(() => this.subscriptions.of(clientid).map(({ topic, qos }) => ({ clientid, topic, qos })));
  }

  purgeSubscriptions(before: number, limit: number): Promise<Purged> {
    const seenByState = (clientid: string): number => {
      const state = this.stateOf(Buffer.from(clientid));
      if (state === null || !isThere(state, before)) return 0;
      return state.connected ? Math.max(Date.now(), before + 1) : state.at;
    };
    return this.db.purge(limit, (step) => this.subscriptions.purge(before, step, seenByState));
  }
}

export function toState(key: Buffer, value: Buffer): ClientState {
  return { clientid: key.toString(), ...(JSON.parse(value.toString('utf8', NUMBER_BYTES)) as Fields) };
}
