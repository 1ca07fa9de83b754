import { clampQos } from '../shared/qos';
import type { ClientState, ClientStore, Position, PositionStore, Subscription, SubscriptionRef } from '../store';
import type { Client, Row } from './client';
import { tick } from './clock';
import { chunks } from './keys';
import { list, number, text } from './literal';
import { between, endOfPage, type Range } from './pages';

interface PositionRow {
  readonly clientid: string;
  readonly topic: string;
  readonly msgid: string;
  readonly receipts: readonly string[];
}

/** Keys of mqtt_sub and mqtt_acked. */
interface Pair {
  readonly clientid: string;
  readonly topic: string;
}

const NEWEST = 'ORDER BY clientid, topic, version DESC LIMIT 1 BY clientid, topic';
const POSITION = 'clientid, topic, msgid, receipts';

/** mqtt_client, mqtt_sub and mqtt_acked. A change is a new row with a greater version, a deletion one that says so. */
export class ClientTables implements ClientStore, PositionStore {
  constructor(private readonly db: Client) {}

  async saveClientStates(states: readonly ClientState[]): Promise<void> {
    const newest = new Map<string, ClientState>();
    for (const state of states) if ((newest.get(state.clientid)?.at ?? -Infinity) <= state.at) newest.set(state.clientid, state);
    await this.db.insert(
      'mqtt_client',
      [...newest.values()].map(({ clientid, connected, node, connectedAt, disconnectedAt, at }) => ({
        ...{ clientid, state: connected ? 1 : 0, node, online_at: connectedAt, offline_at: disconnectedAt },
        ...{ changed_at: at, written_at: tick() },
      })),
    );
  }

  async getClientState(clientid: string): Promise<ClientState | null> {
    const [row] = await this.db.rows<{ state: number; node: string | null; online_at: number | null; offline_at: number | null; changed_at: number }>(
      `SELECT state, node, online_at, offline_at, changed_at FROM mqtt_client WHERE clientid = ${text(clientid)}
       ORDER BY changed_at DESC, written_at DESC LIMIT 1`,
    );
    if (row === undefined) return null;
    const { state, node, online_at, offline_at, changed_at } = row;
    return { clientid, connected: state === 1, node, connectedAt: online_at, disconnectedAt: offline_at, at: changed_at };
  }

  putSubscriptions(subscriptions: readonly Subscription[]): Promise<void> {
    return this.put('mqtt_sub', subscriptions.map(({ clientid, topic, qos }) => ({ clientid, topic, qos, deleted: 0 })));
  }

  deleteSubscriptions(refs: readonly SubscriptionRef[]): Promise<void> {
    return this.put('mqtt_sub', refs.map(({ clientid, topic }) => ({ clientid, topic, qos: 0, deleted: 1 })));
  }

  async listSubscriptions(clientid: string): Promise<Subscription[]> {
    const rows = await this.db.rows<{ topic: string; qos: number }>(
      `SELECT topic, qos FROM (SELECT clientid, topic, qos, deleted FROM mqtt_sub WHERE clientid = ${text(clientid)} ${NEWEST})
       WHERE deleted = 0 ORDER BY topic`,
    );
    return rows.map(({ topic, qos }) => ({ clientid, topic, qos: clampQos(qos) }));
  }

  async getPositions(consumer: string, topics: readonly string[]): Promise<Position[]> {
    const found: Position[] = [];
    for (const chunk of chunks(topics, (topic) => 2 * topic.length)) {
      found.push(...(await this.positions(`clientid = ${text(consumer)} AND topic IN ${list(chunk)}`)));
    }
    return found;
  }

  async listPositions(consumer: string, after: string, limit: number): Promise<Position[]> {
    const range: Range = { table: 'mqtt_acked', where: `clientid = ${text(consumer)}`, column: 'topic' };
    const found: Position[] = [];
    for (let from = after; found.length < limit; ) {
      const end = await endOfPage(this.db, range, from, limit);
      found.push(...(await this.positions(between(range, from, end), limit - found.length)));
      if (end === null) break;
      from = end;
    }
    return found;
  }

  /** Reads one column of all positions. */
  positionsOfTopic(topic: string): Promise<Position[]> {
    return this.positions(`topic = ${text(topic)}`);
  }

  putPositions(positions: readonly Position[]): Promise<void> {
    const rows = positions.map(({ consumer, topic, id, receipts }) => ({
      ...{ clientid: consumer, topic, msgid: id, receipts, deleted: id === '' && receipts.length === 0 ? 1 : 0 },
    }));
    return this.put('mqtt_acked', rows);
  }

  private async positions(where: string, limit: number | null = null): Promise<Position[]> {
    const rows = await this.db.rows<PositionRow>(
      `SELECT ${POSITION} FROM (SELECT ${POSITION}, deleted FROM mqtt_acked WHERE ${where} ${NEWEST})
       WHERE deleted = 0 ORDER BY clientid, topic ${limit === null ? '' : `LIMIT ${number(limit)}`}`,
    );
    return rows.map(({ clientid, topic, msgid, receipts }) => ({ consumer: clientid, topic, id: msgid, receipts }));
  }

  /** The last of each key; later than what is there, whatever this machine's clock says. */
  private async put(table: 'mqtt_sub' | 'mqtt_acked', rows: readonly (Row & Pair)[]): Promise<void> {
    const last = new Map(rows.map((row) => [JSON.stringify([row.clientid, row.topic]), row]));
    if (last.size === 0) return;
    const newest = await this.newestVersion(table, [...last.values()]);
    const version = Math.max(tick(), newest + 1);
    await this.db.insert(table, [...last.values()].map((row) => ({ ...row, version })));
  }

  private async newestVersion(table: string, keys: readonly Pair[]): Promise<number> {
    let newest = 0;
    for (const chunk of chunks(keys, ({ clientid, topic }) => 2 * (clientid.length + topic.length))) {
      const pairs = chunk.map(({ clientid, topic }) => `(${text(clientid)}, ${text(topic)})`);
      newest = Math.max(newest, await this.db.count(`SELECT max(version) AS version FROM ${table} WHERE (clientid, topic) IN (${pairs.join(', ')})`));
    }
    return newest;
  }
}
