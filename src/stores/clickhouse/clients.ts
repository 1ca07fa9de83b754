import { clampQos } from '../../mqtt/qos';
import { seenDay } from '../shared/unseen';
import type { ClientState, ClientStore, Position, PositionStore, Purged, StateTimes, Subscription, SubscriptionRef } from '../store';
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
/** One purge looks at no more rows than that. */
const MOST_DUE = 100_000;

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
        ...{ changed_at: at, written_at: tick(), deleted: 0 },
      })),
    );
  }

  async getClientState(clientid: string): Promise<ClientState | null> {
    const [row] = await this.db.rows<{ state: number; node: string | null; online_at: number | null; offline_at: number | null; changed_at: number; deleted: number }>(
      `SELECT state, node, online_at, offline_at, changed_at, deleted FROM mqtt_client WHERE clientid = ${text(clientid)}
       ORDER BY changed_at DESC, written_at DESC LIMIT 1`,
    );
    if (row === undefined || row.deleted === 1) return null;
    const { state, node, online_at, offline_at, changed_at } = row;
    return { clientid, connected: state === 1, node, connectedAt: online_at, disconnectedAt: offline_at, at: changed_at };
  }

  async putSubscriptions(subscriptions: readonly Subscription[]): Promise<void> {
    const assigned = await this.assigned(subscriptions.filter(({ seenAt }) => seenAt !== undefined));
    const rows = subscriptions.map(({ clientid, topic, qos, seenAt }) => ({ clientid, topic, qos, deleted: 0, seen_at: assigned.has(pairKey({ clientid, topic })) ? 0 : (seenAt ?? 0) }));
    await this.put('mqtt_sub', rows);
  }

  /** Those of them that are there as assigned ones: they stay so. */
  private async assigned(refs: readonly SubscriptionRef[]): Promise<ReadonlySet<string>> {
    const found: string[] = [];
    for (const chunk of chunks(refs, ({ clientid, topic }) => 2 * (clientid.length + topic.length))) {
      const rows = await this.db.rows<Pair>(
        `SELECT clientid, topic FROM (SELECT clientid, topic, seen_at, deleted FROM mqtt_sub WHERE (clientid, topic) IN (${pairs(chunk)}) ${NEWEST})
         WHERE deleted = 0 AND seen_at = 0`,
      );
      found.push(...rows.map(pairKey));
    }
    return new Set(found);
  }

  deleteSubscriptions(refs: readonly SubscriptionRef[]): Promise<void> {
    return this.put('mqtt_sub', refs.map(({ clientid, topic }) => ({ clientid, topic, qos: 0, deleted: 1, seen_at: 0 })));
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
      seen_at: seenDay({ receipts }, Date.now()),
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

  /** Reads the times of all rows. */
  async purgePositions(before: number, limit: number): Promise<Purged> {
    const due = await this.unseen('mqtt_acked', `seen_at <= ${number(before)}`, limit);
    return this.end('mqtt_acked', due, { msgid: '', receipts: [], seen_at: 0 }, limit);
  }

  /** Reads the times of all rows, and the states of the clients whose rows are due. */
  async purgeSubscriptions(before: number, limit: number): Promise<Purged> {
    const due = `seen_at > 0 AND seen_at <= ${number(before)}`;
    const there = `SELECT clientid FROM mqtt_client WHERE clientid IN (SELECT clientid FROM mqtt_sub WHERE ${due})
      GROUP BY clientid HAVING argMax(deleted, changed_at) = 0 AND (argMax(state, changed_at) = 1 OR max(changed_at) > ${number(before)})`;
    const recent = `SELECT clientid FROM mqtt_sub WHERE seen_at > ${number(before)}`;
    return this.end('mqtt_sub', await this.unseen('mqtt_sub', `${due} AND clientid NOT IN (${there}) AND clientid NOT IN (${recent})`, limit), { qos: 0, seen_at: 0 }, limit);
  }

  /** The newest rows of keys that have a row which is due: the newest one may not be. */
  private unseen(table: 'mqtt_sub' | 'mqtt_acked', due: string, limit: number): Promise<(Pair & { readonly last: number })[]> {
    return this.db.rows(
      `SELECT clientid, topic, last FROM (
         SELECT clientid, topic, version AS last, deleted, seen_at FROM ${table}
         WHERE (clientid, topic) IN (SELECT clientid, topic FROM ${table} WHERE deleted = 0 AND ${due} LIMIT ${MOST_DUE}) ${NEWEST})
       WHERE deleted = 0 AND ${due} LIMIT ${number(limit)}`,
    );
  }

  /** With the version that follows the one that was read: what is written meanwhile has a greater one, and stays. */
  private async end(table: 'mqtt_sub' | 'mqtt_acked', due: readonly (Pair & { readonly last: number })[], rest: Row, limit: number): Promise<Purged> {
    await this.db.insert(table, due.map(({ clientid, topic, last }) => ({ clientid, topic, ...rest, deleted: 1, version: last + 1 })));
    return { removed: due.length, more: due.length >= limit };
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
      due.map(({ clientid, last }) => ({ clientid, state: 0, node: null, online_at: null, offline_at: null, changed_at: last + 1, written_at: tick(), deleted: 1 })),
    );
    return { removed: due.length, more: due.length >= limit };
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
      newest = Math.max(newest, await this.db.count(`SELECT max(version) AS version FROM ${table} WHERE (clientid, topic) IN (${pairs(chunk)})`));
    }
    return newest;
  }
}

const pairs = (keys: readonly Pair[]): string => keys.map(({ clientid, topic }) => `(${text(clientid)}, ${text(topic)})`).join(', ');
const pairKey = ({ clientid, topic }: Pair): string => JSON.stringify([clientid, topic]);
