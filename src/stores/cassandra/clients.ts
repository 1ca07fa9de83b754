import type { types } from 'cassandra-driver';
import { clampQos } from '../../mqtt/qos';
import { isOver, isThere, Sweep } from '../shared/unseen';
import type { ClientState, ClientStore, Purged, StateTimes, Subscription, SubscriptionRef } from '../store';
import type { Database } from './database';
import { toNumber } from './rows';

interface ClientRow {
  readonly state: number | null;
  readonly node: string | null;
  readonly connected: Date | null;
  readonly disconnected: Date | null;
  readonly changed_at: types.Long | null;
}

interface SubscriptionRow {
  readonly clientid: string;
  readonly topic: string;
  readonly seen_at: types.Long | null;
  /** When the row was written (microseconds). */
  readonly at: types.Long | null;
}

interface SweptClient extends Omit<ClientRow, 'node'> {
  readonly clientid: string;
  readonly at: types.Long | null;
}

const SUBSCRIPTIONS_PER_PAGE = 1_000;

/** undefined means that the column is not written, so that a time that an event does not tell stays unchanged. */
const known = (ms: number | null): Date | undefined => (ms === null ? undefined : new Date(ms));

/** client and sub. */
export class ClientTables implements ClientStore {
  private readonly subscriptionSweep: Sweep<SubscriptionRow, string>;
  private readonly stateSweep: Sweep<SweptClient, string>;

  constructor(private readonly db: Database) {
    const subscriptions = 'SELECT clientid, topic, seen_at, writetime(seen_at) AS at FROM sub';
    const states = 'SELECT clientid, state, connected, disconnected, changed_at, writetime(state) AS at FROM client';
    this.subscriptionSweep = new Sweep((cursor, size) => db.page<SubscriptionRow>(subscriptions, [], size, cursor));
    this.stateSweep = new Sweep((cursor, size) => db.page<SweptClient>(states, [], size, cursor));
  }

  /**
   * The event's time is the write's timestamp. Cassandra then keeps the newest state, whatever the order of the writes.
   */
  async saveClientStates(states: readonly ClientState[]): Promise<void> {
    await this.db.wave(states, (state) =>
      this.db.write(
        'INSERT INTO client (clientid, state, node, connected, disconnected, changed_at) VALUES (?, ?, ?, ?, ?, ?)',
        [state.clientid, state.connected ? 1 : 0, state.node, known(state.connectedAt), known(state.disconnectedAt), state.at],
        Math.floor(state.at) * 1_000 + rankOf(state),
      ),
    );
  }

  async getClientState(clientid: string): Promise<ClientState | null> {
    const [row] = await this.db.rows<ClientRow>('SELECT state, node, connected, disconnected, changed_at FROM client WHERE clientid = ?', [
      clientid,
    ]);
    if (row === undefined) return null;
    const [connectedAt, disconnectedAt] = [row.connected?.getTime() ?? null, row.disconnected?.getTime() ?? null];
    return { clientid, connected: row.state === 1, node: row.node, connectedAt, disconnectedAt, at: timeOf(row) };
  }

  async putSubscriptions(subscriptions: readonly Subscription[]): Promise<void> {
    // In the order of the batch, so that each write has a later timestamp than the one before.
    const times = await this.db.wave(subscriptions, (subscription) => this.seenAt(subscription));
    await this.db.wave(
      subscriptions.map((subscription, i) => ({ ...subscription, seen: times[i] ?? null })),
      ({ clientid, topic, qos, seen }) =>
        this.db.write('INSERT INTO sub (clientid, topic, qos, seen_at) VALUES (?, ?, ?, ?)', [clientid, topic, qos, seen]),
    );
  }

  /** A subscription that exists without a time is an assigned one, and stays so. */
  private async seenAt({ clientid, topic, seenAt }: Subscription): Promise<number | null> {
    if (seenAt === undefined) return null;
    const [stored] = await this.db.rows<{ seen_at: types.Long | null }>('SELECT seen_at FROM sub WHERE clientid = ? AND topic = ?', [
      clientid,
      topic,
    ]);
    return stored !== undefined && stored.seen_at === null ? null : seenAt;
  }

  purgeSubscriptions(before: number, limit: number): Promise<Purged> {
    return this.subscriptionSweep.run(limit, async (rows) => {
      const old = rows.filter(({ seen_at }) => (toNumber(seen_at) ?? Infinity) <= before);
      const clients = [...new Set(old.map(({ clientid }) => clientid))];
      const states = await this.db.wave(clients, (clientid) => this.getClientState(clientid));
      const times = await this.db.wave(clients, (clientid) => this.timesOf(clientid));
      const there = new Set(
        clients.filter((_, i) => isThere(states[i] ?? null, before) || times[i]?.some((at) => at !== null && at > before)),
      );
      const due = old.filter(({ clientid }) => !there.has(clientid));
      // The deletion has the timestamp of the write that it removes, so that a newer subscription stays.
      await this.db.wave(due, ({ clientid, topic, at }) =>
        this.db.write('DELETE FROM sub WHERE clientid = ? AND topic = ?', [clientid, topic], toNumber(at) ?? 0),
      );
      return due.length;
    });
  }

  purgeClientStates(before: StateTimes, limit: number): Promise<Purged> {
    return this.stateSweep.run(limit, async (rows) => {
      const old = rows.filter(
        (row) => row.at !== null && timeOf(row) > 0 && isOver({ connected: row.state === 1, at: timeOf(row) }, before),
      );
      const times = await this.db.wave(old, ({ clientid }) => this.timesOf(clientid));
      const due = old.filter((_, i) => times[i]?.every((at) => at !== null));
      // The deletion has the timestamp of the write that it removes, so that a newer state stays.
      await this.db.wave(due, ({ clientid, at }) => this.db.write('DELETE FROM client WHERE clientid = ?', [clientid], toNumber(at) ?? 0));
      return due.length;
    });
  }

  /** When events reported the client's subscriptions (ms); null for an assigned one. */
  private async timesOf(clientid: string): Promise<(number | null)[]> {
    const rows = await this.db.rows<{ seen_at: types.Long | null }>('SELECT seen_at FROM sub WHERE clientid = ?', [clientid]);
    return rows.map(({ seen_at }) => toNumber(seen_at));
  }

  async deleteSubscriptions(refs: readonly SubscriptionRef[]): Promise<void> {
    await this.db.wave(refs, ({ clientid, topic }) => this.db.write('DELETE FROM sub WHERE clientid = ? AND topic = ?', [clientid, topic]));
  }

  async listSubscriptions(clientid: string): Promise<Subscription[]> {
    const found: Subscription[] = [];
    const cql = 'SELECT topic, qos FROM sub WHERE clientid = ? ORDER BY topic ASC';
    for await (const rows of this.db.pages<{ topic: string; qos: number | null }>(cql, [clientid], SUBSCRIPTIONS_PER_PAGE)) {
      found.push(...rows.map(({ topic, qos }) => ({ clientid, topic, qos: clampQos(qos ?? 0) })));
    }
    return found;
  }
}

const timeOf = ({ changed_at, connected, disconnected }: Pick<ClientRow, 'changed_at' | 'connected' | 'disconnected'>): number =>
  toNumber(changed_at) ?? Math.max(connected?.getTime() ?? 0, disconnected?.getTime() ?? 0);

/**
 * Orders events of the same millisecond. The end of an older connection comes first, the end of a connection that began
 * in this millisecond last.
 */
function rankOf({ connected, connectedAt, at }: ClientState): number {
  if (connected) return 1;
  return connectedAt === at ? 2 : 0;
}
