import { lastSubscriptions, newestStates } from '../shared/newest';
import { compareText } from '../shared/order';
import { clampQos } from '../../mqtt/qos';
import type { ClientState, ClientStore, Purged, StateTimes, Subscription, SubscriptionRef } from '../store';
import type { Database } from './database';
import { hashOf } from './keys';

interface ClientRow {
  readonly clientid: string;
  readonly state: string | null;
  readonly node: string | null;
  readonly online: number | string | null;
  readonly offline: number | string | null;
  readonly changed_at: number | string | null;
}

const ms = (value: number | string | null): number | null => (value === null ? null : Number(value));
const NEWER = 'COALESCE(mqtt_client.changed_at, 0) <= VALUES(changed_at)';

/** mqtt_client and mqtt_sub. Rows are written in order, so that batches with common rows rarely deadlock. */
export class ClientTables implements ClientStore {
  constructor(private readonly db: Database) {}

  async saveClientStates(states: readonly ClientState[]): Promise<void> {
    const newest = newestStates(states).sort((a, b) => compareText(a.clientid, b.clientid));
    if (newest.length === 0) return;
    await this.db.rows(
      `INSERT INTO mqtt_client (clientid, state, node, online_at, offline_at, seen_at, changed_at)
       VALUES ${newest.map(() => '(?, ?, ?, FROM_UNIXTIME(? / 1000), FROM_UNIXTIME(? / 1000), ?, ?)').join(', ')}
       ON DUPLICATE KEY UPDATE state = IF(${NEWER}, VALUES(state), state), node = IF(${NEWER}, VALUES(node), node),
         online_at = IF(${NEWER}, COALESCE(VALUES(online_at), online_at), online_at),
         offline_at = IF(${NEWER}, COALESCE(VALUES(offline_at), offline_at), offline_at),
         seen_at = IF(${NEWER}, VALUES(seen_at), seen_at),
         changed_at = GREATEST(COALESCE(changed_at, 0), VALUES(changed_at))`,
      newest.flatMap(({ clientid, connected, node, connectedAt, disconnectedAt, at }) => [
        clientid,
        connected ? 1 : 0,
        node,
        connectedAt,
        disconnectedAt,
        at,
        at,
      ]),
    );
  }

  async getClientState(clientid: string): Promise<ClientState | null> {
    const [row] = await this.db.rows<ClientRow>(
      `SELECT clientid, state, node, ROUND(UNIX_TIMESTAMP(online_at) * 1000) AS online, ROUND(UNIX_TIMESTAMP(offline_at) * 1000) AS offline, changed_at
       FROM mqtt_client WHERE client_key = ?`,
      [hashOf(clientid)],
    );
    if (row === undefined) return null;
    const [connectedAt, disconnectedAt] = [ms(row.online), ms(row.offline)];
    const at = ms(row.changed_at) ?? Math.max(connectedAt ?? 0, disconnectedAt ?? 0);
    return { clientid: row.clientid, connected: row.state === '1', node: row.node, connectedAt, disconnectedAt, at };
  }

  async putSubscriptions(subscriptions: readonly Subscription[]): Promise<void> {
    const last = lastSubscriptions(subscriptions).sort(bySubscriber);
    if (last.length === 0) return;
    await this.db.rows(
      `INSERT INTO mqtt_sub (clientid, topic, qos, seen_at) VALUES ${last.map(() => '(?, ?, ?, ?)').join(', ')}
       ON DUPLICATE KEY UPDATE qos = VALUES(qos), seen_at = IF(seen_at IS NULL, NULL, VALUES(seen_at))`,
      last.flatMap(({ clientid, topic, qos, seenAt }) => [clientid, topic, qos, seenAt ?? null]),
    );
  }

  async deleteSubscriptions(refs: readonly SubscriptionRef[]): Promise<void> {
    if (refs.length === 0) return;
    await this.db.rows(
      `DELETE FROM mqtt_sub WHERE ${refs.map(() => '(client_key = ? AND topic_hash = ?)').join(' OR ')}`,
      refs.flatMap(({ clientid, topic }) => [hashOf(clientid), hashOf(topic)]),
    );
  }

  async listSubscriptions(clientid: string): Promise<Subscription[]> {
    const rows = await this.db.rows<{ clientid: string; topic: string; qos: number | null }>(
      'SELECT clientid, topic, qos FROM mqtt_sub WHERE client_key = ? AND topic IS NOT NULL',
      [hashOf(clientid)],
    );
    return rows.map((row) => ({ ...row, qos: clampQos(row.qos ?? 0) })).sort((a, b) => compareText(a.topic, b.topic));
  }

  purgeSubscriptions(before: number, limit: number): Promise<Purged> {
    const seen = `GREATEST(
      (SELECT MAX(s.seen_at) FROM mqtt_sub s WHERE s.client_key = due.client_key),
      COALESCE((SELECT IF(c.state = '1', ?, c.changed_at) FROM mqtt_client c WHERE c.client_key = due.client_key), 0))`;
    return this.purge('mqtt_sub', ['client_key', 'topic_hash'], { seen, bindings: [Date.now()] }, before, limit);
  }

  purgeClientStates({ disconnected, connected }: StateTimes, limit: number): Promise<Purged> {
    const seen = `IF((due.state = '1' AND COALESCE(due.changed_at, 0) > ?)
      OR EXISTS (SELECT 1 FROM mqtt_sub s WHERE s.client_key = due.client_key AND s.seen_at IS NULL), ?, 0)`;
    return this.purge('mqtt_client', ['client_key'], { seen, bindings: [connected, Date.now()] }, disconnected, limit);
  }

  /**
   * Deletes rows whose client was not seen lately. A row that is still needed gets `seen` as its own seen_at, so that
   * its next check is postponed accordingly. A row that changes meanwhile stays.
   * @param seen SQL that tells when the row's client was last seen according to other rows.
   */
  private async purge(
    table: 'mqtt_sub' | 'mqtt_client',
    key: readonly string[],
    { seen, bindings }: { readonly seen: string; readonly bindings: readonly number[] },
    before: number,
    limit: number,
  ): Promise<Purged> {
    const due = await this.db.rows<Record<string, Buffer> & { seen: number | string }>(
      `SELECT ${key.join(', ')}, ${seen} AS seen FROM ${table} due WHERE seen_at <= ? AND client_key IS NOT NULL ORDER BY seen_at LIMIT ?`,
      [...bindings, before, limit],
    );
    const [kept, gone] = [due.filter((row) => Number(row.seen) > before), due.filter((row) => Number(row.seen) <= before)];
    const isOneOf = (rows: typeof due) => rows.map(() => `(${key.map((column) => `${column} = ?`).join(' AND ')})`).join(' OR ');
    const keysOf = (rows: typeof due) => rows.flatMap((row) => key.map((column) => row[column] ?? null));
    if (kept.length > 0) {
      const places = kept.map(() => `SELECT ${key.map((column) => `? AS ${column}`).join(', ')}, ? AS seen`).join(' UNION ALL ');
      await this.db.rows(
        `UPDATE ${table} JOIN (${places}) AS kept USING (${key.join(', ')}) SET ${table}.seen_at = kept.seen WHERE ${table}.seen_at <= ?`,
        [...kept.flatMap((row) => [...key.map((column) => row[column] ?? null), Number(row.seen)]), before],
      );
    }
    const removed =
      gone.length === 0
        ? 0
        : await this.db.delete(`DELETE FROM ${table} WHERE (${isOneOf(gone)}) AND seen_at <= ?`, [...keysOf(gone), before]);
    return { removed, more: due.length >= limit };
  }
}

const bySubscriber = (a: SubscriptionRef, b: SubscriptionRef): number =>
  compareText(a.clientid, b.clientid) || compareText(a.topic, b.topic);
