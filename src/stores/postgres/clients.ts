import type { ClientState, ClientStore, Position, PositionStore, Purged, StateTimes, Subscription, SubscriptionRef } from '../store';
import { lastPositions, lastSubscriptions, newestStates } from '../shared/newest';
import { clampQos } from '../../mqtt/qos';
import { seenDay } from '../shared/unseen';
import type { Database } from './database';
import { KEY, keyOf } from './topic-index';

interface ClientRow {
  readonly clientid: string;
  readonly state: number | null;
  readonly node: string | null;
  readonly online: string | null;
  readonly offline: string | null;
  readonly changed_at: string | null;
}

interface PositionRow {
  readonly clientid: string;
  readonly topic: string;
  readonly msgid: string | null;
  readonly receipts: readonly string[] | null;
}

const ms = (text: string | null): number | null => (text === null ? null : Number(text));
const EPOCH_MS = (column: string) => `CASE WHEN isfinite(${column}) THEN (extract(epoch FROM ${column}::timestamptz) * 1000)::bigint END`;

/** EMQX's own row whose message is gone says nothing. */
const KNOWN = '(msgid IS NOT NULL OR receipts IS NOT NULL)';

/** mqtt_client, mqtt_sub and mqtt_acked. Rows are written in order: batches that share some wait for each other, not in a circle. */
export class ClientTables implements ClientStore, PositionStore {
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

  async getPositions(consumer: string, topics: readonly string[]): Promise<Position[]> {
    const rows = await this.db.rows<PositionRow>(
      `SELECT clientid, topic, msgid, receipts FROM mqtt_acked
       WHERE mqtt_key(clientid) = mqtt_key(:consumer) AND ${KNOWN}
         AND mqtt_key(topic) = ANY(ARRAY(SELECT mqtt_key(t) FROM unnest(:topics::text[]) AS t))`,
      { consumer, topics },
    );
    return rows.map(toPosition);
  }

  async listPositions(consumer: string, after: string, limit: number): Promise<Position[]> {
    const rows = await this.db.rows<PositionRow>(
      `SELECT clientid, topic, msgid, receipts FROM mqtt_acked
       WHERE (mqtt_key(clientid), ${KEY}) >= (mqtt_key(:consumer), :key) AND mqtt_key(clientid) <= mqtt_key(:consumer)
         AND topic COLLATE "C" > :after AND ${KNOWN}
       ORDER BY mqtt_key(clientid), ${KEY}, topic COLLATE "C" LIMIT :limit`,
      { consumer, key: keyOf(after), after, limit },
    );
    return rows.map(toPosition);
  }

  async positionsOfTopic(topic: string): Promise<Position[]> {
    const rows = await this.db.rows<PositionRow>(
      `SELECT clientid, topic, msgid, receipts FROM mqtt_acked
       WHERE mqtt_key(topic) = mqtt_key(:topic) AND ${KNOWN} ORDER BY clientid COLLATE "C"`,
      { topic },
    );
    return rows.map(toPosition);
  }

  async putPositions(positions: readonly Position[]): Promise<void> {
    const { kept, gone } = lastPositions(positions);
    if (gone.length > 0) {
      await this.db.rows(
        `DELETE FROM mqtt_acked USING unnest(:consumers::text[], :topics::text[]) AS gone(clientid, topic)
         WHERE mqtt_key(mqtt_acked.clientid) = mqtt_key(gone.clientid) AND mqtt_key(mqtt_acked.topic) = mqtt_key(gone.topic)`,
        { consumers: gone.map(({ consumer }) => consumer), topics: gone.map(({ topic }) => topic) },
      );
    }
    if (kept.length === 0) return;
    await this.db.rows(
      `INSERT INTO mqtt_acked (clientid, topic, msgid, receipts, mid, seen_at)
       SELECT p.clientid, p.topic, nullif(p.msgid, ''), p.receipts, (SELECT id FROM mqtt_msg WHERE mqtt_msg.msgid COLLATE "C" = p.msgid), p.seen_at
       FROM unnest(:consumers::text[], :topics::text[], :ids::text[], :receipts::json[], :seen::bigint[]) AS p(clientid, topic, msgid, receipts, seen_at)
       ORDER BY clientid COLLATE "C", topic COLLATE "C"
       ON CONFLICT (mqtt_key(clientid), mqtt_key(topic)) DO UPDATE
         SET msgid = excluded.msgid, receipts = excluded.receipts, mid = coalesce(excluded.mid, mqtt_acked.mid), seen_at = excluded.seen_at`,
      {
        consumers: kept.map(({ consumer }) => consumer),
        topics: kept.map(({ topic }) => topic),
        ids: kept.map(({ id }) => id),
        receipts: kept.map(({ receipts }) => JSON.stringify(receipts)),
        seen: kept.map((position) => seenDay(position, Date.now())),
      },
    );
  }

  purgePositions(before: number, limit: number): Promise<Purged> {
    return this.purge('mqtt_acked', 'NULL::bigint', { before, limit });
  }

  purgeSubscriptions(before: number, limit: number): Promise<Purged> {
    // `+ 0`: for a plain max(seen_at) a planner without statistics walks through the index of all clients' times.
    const seen = `greatest(
      (SELECT max(s.seen_at + 0) FROM mqtt_sub s WHERE mqtt_key(s.clientid) = mqtt_key(due.clientid)),
      (SELECT CASE WHEN c.state = 1 THEN :now ELSE c.changed_at END FROM mqtt_client c WHERE mqtt_key(c.clientid) = mqtt_key(due.clientid)))`;
    return this.purge('mqtt_sub', seen, { before, limit });
  }

  purgeClientStates({ disconnected, connected }: StateTimes, limit: number): Promise<Purged> {
    // Not EXISTS: a planner without statistics would read all subscriptions to hash them.
    const assigned = '(SELECT 1 FROM mqtt_sub s WHERE mqtt_key(s.clientid) = mqtt_key(due.clientid) AND s.seen_at IS NULL LIMIT 1) IS NOT NULL';
    const seen = `CASE WHEN (state = 1 AND changed_at > :connected) OR ${assigned} THEN :now::bigint END`;
    return this.purge('mqtt_client', seen, { before: disconnected, connected, limit });
  }

  /**
   * `seen`: when the row's client was seen last, by other rows. A row that is still needed gets that as its own seen_at, so that the next look at
   * it comes as late. A row that changes meanwhile stays.
   */
  private async purge(table: string, seen: string, bindings: { readonly before: number; readonly limit: number; readonly connected?: number }): Promise<Purged> {
    const [counts] = await this.db.rows<{ looked: string; removed: string }>(
      `WITH due AS MATERIALIZED (SELECT ctid AS place, clientid${table === 'mqtt_client' ? ', state, changed_at' : ''} FROM ${table} WHERE seen_at <= :before ORDER BY seen_at LIMIT :limit),
         judged AS MATERIALIZED (SELECT place, ${seen} AS seen FROM due),
         kept AS (UPDATE ${table} SET seen_at = (SELECT seen FROM judged WHERE place = ${table}.ctid)
           WHERE ctid = ANY(ARRAY(SELECT place FROM judged WHERE seen > :before)) AND seen_at <= :before),
         gone AS (DELETE FROM ${table}
           WHERE ctid = ANY(ARRAY(SELECT place FROM judged WHERE seen IS NULL OR seen <= :before)) AND seen_at <= :before RETURNING 1)
       SELECT (SELECT count(*) FROM judged) AS looked, (SELECT count(*) FROM gone) AS removed`,
      { ...bindings, now: Date.now() },
    );
    return { removed: Number(counts?.removed ?? 0), more: Number(counts?.looked ?? 0) >= bindings.limit };
  }
}

const toPosition = ({ clientid, topic, msgid, receipts }: PositionRow): Position => ({
  consumer: clientid,
  topic,
  id: msgid ?? '',
  receipts: receipts ?? [],
});
