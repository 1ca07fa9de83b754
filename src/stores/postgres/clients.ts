import type { ClientState, ClientStore, Purged, StateTimes, Subscription, SubscriptionRef } from '../store';
import { lastSubscriptions, newestStates } from '../shared/newest';
import { clampQos } from '../../mqtt/qos';
import type { Database } from './database';
import { purgeUnseen } from './purge';

interface ClientRow {
  readonly clientid: string;
  readonly state: number | null;
  readonly node: string | null;
  readonly online: string | null;
  readonly offline: string | null;
  readonly changed_at: string | null;
}

const ms = (text: string | null): number | null => (text === null ? null : Number(text));
const EPOCH_MS = (column: string) => `CASE WHEN isfinite(${column}) THEN (extract(epoch FROM ${column}::timestamptz) * 1000)::bigint END`;

/**
 * mqtt_client and mqtt_sub. Rows are written in order, so that batches with common rows wait for each other instead of
 * deadlocking.
 */
export class ClientTables implements ClientStore {
  constructor(private readonly db: Database) {}

  async saveClientStates(states: readonly ClientState[]): Promise<void> {
    const newest = newestStates(states);
    if (newest.length === 0) return;
    await this.db.rows(
      `INSERT INTO mqtt_client AS c (clientid, state, node, online_at, offline_at, changed_at, seen_at)
       SELECT clientid, state, node, to_timestamp(online / 1000.0)::timestamp, to_timestamp(offline / 1000.0)::timestamp, at, at
       FROM unnest(:clientids::text[], :states::int[], :nodes::text[], :online::bigint[], :offline::bigint[], :at::bigint[])
         AS s(clientid, state, node, online, offline, at)
       ORDER BY clientid COLLATE "C"
       ON CONFLICT (mqtt_key(clientid)) DO UPDATE SET state = excluded.state, node = excluded.node, changed_at = excluded.changed_at, seen_at = excluded.seen_at,
         online_at = coalesce(excluded.online_at, c.online_at), offline_at = coalesce(excluded.offline_at, c.offline_at)
       WHERE coalesce(c.changed_at, 0) <= excluded.changed_at`,
      {
        clientids: newest.map(({ clientid }) => clientid),
        states: newest.map(({ connected }) => (connected ? 1 : 0)),
        nodes: newest.map(({ node }) => node),
        online: newest.map(({ connectedAt }) => connectedAt),
        offline: newest.map(({ disconnectedAt }) => disconnectedAt),
        at: newest.map(({ at }) => at),
      },
    );
  }

  async getClientState(clientid: string): Promise<ClientState | null> {
    const [row] = await this.db.rows<ClientRow>(
      `SELECT clientid, state, node, ${EPOCH_MS('online_at')} AS online, ${EPOCH_MS('offline_at')} AS offline, changed_at
       FROM mqtt_client WHERE mqtt_key(clientid) = mqtt_key(:clientid)`,
      { clientid },
    );
    if (row === undefined) return null;
    const [connectedAt, disconnectedAt] = [ms(row.online), ms(row.offline)];
    const at = ms(row.changed_at) ?? Math.max(connectedAt ?? 0, disconnectedAt ?? 0);
    return { clientid: row.clientid, connected: row.state === 1, node: row.node, connectedAt, disconnectedAt, at };
  }

  async putSubscriptions(subscriptions: readonly Subscription[]): Promise<void> {
    const last = lastSubscriptions(subscriptions);
    if (last.length === 0) return;
    await this.db.rows(
      `INSERT INTO mqtt_sub AS stored (clientid, topic, qos, seen_at)
       SELECT * FROM unnest(:clientids::text[], :topics::text[], :qoss::int[], :seen::bigint[]) AS s(clientid, topic, qos, seen_at)
       ORDER BY clientid COLLATE "C", topic COLLATE "C"
       ON CONFLICT (mqtt_key(clientid), mqtt_key(topic)) DO UPDATE SET qos = excluded.qos,
         seen_at = CASE WHEN stored.seen_at IS NOT NULL THEN excluded.seen_at END`,
      {
        clientids: last.map(({ clientid }) => clientid),
        topics: last.map(({ topic }) => topic),
        qoss: last.map(({ qos }) => qos),
        seen: last.map(({ seenAt }) => seenAt ?? null),
      },
    );
  }

  async deleteSubscriptions(refs: readonly SubscriptionRef[]): Promise<void> {
    await this.db.rows(
      `DELETE FROM mqtt_sub USING unnest(:clientids::text[], :topics::text[]) AS gone(clientid, topic)
       WHERE mqtt_key(mqtt_sub.clientid) = mqtt_key(gone.clientid) AND mqtt_key(mqtt_sub.topic) = mqtt_key(gone.topic)`,
      { clientids: refs.map(({ clientid }) => clientid), topics: refs.map(({ topic }) => topic) },
    );
  }

  async listSubscriptions(clientid: string): Promise<Subscription[]> {
    const rows = await this.db.rows<{ clientid: string; topic: string; qos: number }>(
      `SELECT clientid, topic, coalesce(qos, 0) AS qos FROM mqtt_sub WHERE mqtt_key(clientid) = mqtt_key(:clientid) ORDER BY topic COLLATE "C"`,
      { clientid },
    );
    return rows.map((row) => ({ ...row, qos: clampQos(row.qos) }));
  }

  purgeSubscriptions(before: number, limit: number): Promise<Purged> {
    // `+ 0` is needed: for a plain max(seen_at) a planner without statistics reads the index of all clients' times.
    const seen = `greatest(
      (SELECT max(s.seen_at + 0) FROM mqtt_sub s WHERE mqtt_key(s.clientid) = mqtt_key(due.clientid)),
      (SELECT CASE WHEN c.state = 1 THEN :now ELSE c.changed_at END FROM mqtt_client c WHERE mqtt_key(c.clientid) = mqtt_key(due.clientid)))`;
    return purgeUnseen(this.db, 'mqtt_sub', seen, { before, limit });
  }

  purgeClientStates({ disconnected, connected }: StateTimes, limit: number): Promise<Purged> {
    // EXISTS is not used, because a planner without statistics would read all subscriptions to hash them.
    const assigned =
      '(SELECT 1 FROM mqtt_sub s WHERE mqtt_key(s.clientid) = mqtt_key(due.clientid) AND s.seen_at IS NULL LIMIT 1) IS NOT NULL';
    const seen = `CASE WHEN (state = 1 AND changed_at > :connected) OR ${assigned} THEN :now::bigint END`;
    return purgeUnseen(this.db, 'mqtt_client', seen, { before: disconnected, connected, limit });
  }
}
