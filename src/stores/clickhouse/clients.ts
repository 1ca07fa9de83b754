import { clampQos } from '../../mqtt/qos';
import type { ClientState, ClientStore, Purged, StateTimes, Subscription, SubscriptionRef } from '../store';
import type { Client, Row } from './client';
import { tick } from './clock';
import { chunks } from './keys';
import { number, text } from './literal';
import { end, MOST_DUE, NEWEST, pairKey, pairLength, pairs, unseen, type Pair } from './pairs';

/** mqtt_client and mqtt_sub. A change is a new row with a greater version. A deletion is a row that says so. */
export class ClientTables implements ClientStore {
  constructor(private readonly db: Client) {}

  async saveClientStates(states: readonly ClientState[]): Promise<void> {
    const newest = new Map<string, ClientState>();
    for (const state of states) if ((newest.get(state.clientid)?.at ?? -Infinity) <= state.at) newest.set(state.clientid, state);
    await this.db.insert(
      'mqtt_client',
      [...newest.values()].map(({ clientid, connected, node, connectedAt, disconnectedAt, at }) => ({
        ...{ clientid, state: connected ? 1 : 0, node, online_at: connectedAt, offline_at: disconnectedAt },
        ...{ changed_at: at, written_at: tick(), deleted: 0 },
      })),
    );
  }

  async getClientState(clientid: string): Promise<ClientState | null> {
    const [row] = await this.db.rows<{
      state: number;
      node: string | null;
      online_at: number | null;
      offline_at: number | null;
      changed_at: number;
      deleted: number;
    }>(
      `SELECT state, node, online_at, offline_at, changed_at, deleted FROM mqtt_client WHERE clientid = ${text(clientid)}
       ORDER BY changed_at DESC, written_at DESC LIMIT 1`,
    );
    if (row === undefined || row.deleted === 1) return null;
    const { state, node, online_at, offline_at, changed_at } = row;
    return { clientid, connected: state === 1, node, connectedAt: online_at, disconnectedAt: offline_at, at: changed_at };
  }

  async putSubscriptions(subscriptions: readonly Subscription[]): Promise<void> {
    const assigned = await this.assigned(subscriptions.filter(({ seenAt }) => seenAt !== undefined));
    const rows = subscriptions.map(({ clientid, topic, qos, seenAt }) => ({
      clientid,
      topic,
      qos,
      deleted: 0,
      seen_at: assigned.has(pairKey({ clientid, topic })) ? 0 : (seenAt ?? 0),
    }));
    await this.put(rows);
  }

  /** The subscriptions that are stored as assigned ones, and stay so. */
  private async assigned(refs: readonly SubscriptionRef[]): Promise<ReadonlySet<string>> {
    const found: string[] = [];
    for (const chunk of chunks(refs, pairLength)) {
      const rows = await this.db.rows<Pair>(
        `SELECT clientid, topic FROM (SELECT clientid, topic, seen_at, deleted FROM mqtt_sub WHERE (clientid, topic) IN (${pairs(chunk)}) ${NEWEST})
         WHERE deleted = 0 AND seen_at = 0`,
      );
      found.push(...rows.map(pairKey));
    }
    return new Set(found);
  }

  deleteSubscriptions(refs: readonly SubscriptionRef[]): Promise<void> {
    return this.put(refs.map(({ clientid, topic }) => ({ clientid, topic, qos: 0, deleted: 1, seen_at: 0 })));
  }

  async listSubscriptions(clientid: string): Promise<Subscription[]> {
    const rows = await this.db.rows<{ topic: string; qos: number }>(
      `SELECT topic, qos FROM (SELECT clientid, topic, qos, deleted FROM mqtt_sub WHERE clientid = ${text(clientid)} ${NEWEST})
       WHERE deleted = 0 ORDER BY topic`,
    );
    return rows.map(({ topic, qos }) => ({ clientid, topic, qos: clampQos(qos) }));
  }

  /** Reads the times of all rows, and the states of the clients whose rows are due. */
  async purgeSubscriptions(before: number, limit: number): Promise<Purged> {
    const due = `seen_at > 0 AND seen_at <= ${number(before)}`;
    const there = `SELECT clientid FROM mqtt_client WHERE clientid IN (SELECT clientid FROM mqtt_sub WHERE ${due})
      GROUP BY clientid HAVING argMax(deleted, changed_at) = 0 AND (argMax(state, changed_at) = 1 OR max(changed_at) > ${number(before)})`;
    const recent = `SELECT clientid FROM mqtt_sub WHERE seen_at > ${number(before)}`;
    const found = await unseen(this.db, 'mqtt_sub', `${due} AND clientid NOT IN (${there}) AND clientid NOT IN (${recent})`, limit);
    return end(this.db, 'mqtt_sub', found, { qos: 0, seen_at: 0 }, limit);
  }

  /** Reads the times of all states. */
  async purgeClientStates({ disconnected, connected }: StateTimes, limit: number): Promise<Purged> {
    const assigned = `SELECT clientid FROM (SELECT clientid, topic, seen_at, deleted FROM mqtt_sub ${NEWEST}) WHERE deleted = 0 AND seen_at = 0`;
    const due = await this.db.rows<{ clientid: string; last: number }>(
      `SELECT clientid, max(changed_at) AS last FROM mqtt_client
       WHERE clientid IN (SELECT clientid FROM mqtt_client WHERE deleted = 0 AND changed_at <= ${number(disconnected)} LIMIT ${MOST_DUE})
       GROUP BY clientid HAVING argMax(deleted, changed_at) = 0
         AND last <= if(argMax(state, changed_at) = 1, ${number(connected)}, ${number(disconnected)}) AND clientid NOT IN (${assigned})
       LIMIT ${number(limit)}`,
    );
    await this.db.insert(
      'mqtt_client',
      due.map(({ clientid, last }) => ({
        clientid,
        state: 0,
        node: null,
        online_at: null,
        offline_at: null,
        changed_at: last + 1,
        written_at: tick(),
        deleted: 1,
      })),
    );
    return { removed: due.length, more: due.length >= limit };
  }

  /**
   * Writes the last row of each key, with a version greater than the stored one, whatever this machine's clock says.
   */
  private async put(rows: readonly (Row & Pair)[]): Promise<void> {
    const last = [...new Map(rows.map((row) => [pairKey(row), row])).values()];
    if (last.length === 0) return;
    const version = Math.max(tick(), (await this.newestVersion(last)) + 1);
    await this.db.insert(
      'mqtt_sub',
      last.map((row) => ({ ...row, version })),
    );
  }

  private async newestVersion(keys: readonly Pair[]): Promise<number> {
    let newest = 0;
    for (const chunk of chunks(keys, pairLength)) {
      newest = Math.max(
        newest,
        await this.db.count(`SELECT max(version) AS version FROM mqtt_sub WHERE (clientid, topic) IN (${pairs(chunk)})`),
      );
    }
    return newest;
  }
}
