import type { types } from 'cassandra-driver';
import { clampQos } from '../shared/qos';
import type { ClientState, ClientStore, Subscription, SubscriptionRef } from '../store';
import type { Database } from './database';
import { toNumber } from './rows';

interface ClientRow {
  readonly state: number | null;
  readonly node: string | null;
  readonly connected: Date | null;
  readonly disconnected: Date | null;
  readonly changed_at: types.Long | null;
}

const SUBSCRIPTIONS_PER_PAGE = 1_000;

/** Of a null: not written. A time that an event doesn't tell stays as it was. */
const known = (ms: number | null): Date | undefined => (ms === null ? undefined : new Date(ms));

/** client and sub. */
export class ClientTables implements ClientStore {
  constructor(private readonly db: Database) {}

  /** The time of its event is its timestamp: Cassandra keeps the newest, whatever the order they come in. */
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
    const [row] = await this.db.rows<ClientRow>('SELECT state, node, connected, disconnected, changed_at FROM client WHERE clientid = ?', [clientid]);
    if (row === undefined) return null;
    const [connectedAt, disconnectedAt] = [row.connected?.getTime() ?? null, row.disconnected?.getTime() ?? null];
    const at = toNumber(row.changed_at) ?? Math.max(connectedAt ?? 0, disconnectedAt ?? 0);
    return { clientid, connected: row.state === 1, node: row.node, connectedAt, disconnectedAt, at };
  }

  async putSubscriptions(subscriptions: readonly Subscription[]): Promise<void> {
    // In the order of the batch: each write has a later timestamp than the one before.
    await this.db.wave(subscriptions, ({ clientid, topic, qos }) =>
      this.db.write('INSERT INTO sub (clientid, topic, qos) VALUES (?, ?, ?)', [clientid, topic, qos]),
    );
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

/** Of events in the same millisecond: the end of a connection that began in it comes last, the end of an older connection first. */
function rankOf({ connected, connectedAt, at }: ClientState): number {
  if (connected) return 1;
  return connectedAt === at ? 2 : 0;
}
