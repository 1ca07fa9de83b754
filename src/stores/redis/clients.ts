import { lastPositions, lastSubscriptions, newestStates } from '../shared/newest';
import { compareText } from '../shared/order';
import { clampQos } from '../shared/qos';
import type { ClientState, ClientStore, Position, PositionStore, Subscription, SubscriptionRef } from '../store';
import type { Command, Database } from './database';
import type { Keys } from './keys';
import { CHANGE } from './scripts';

/** A time before 1973 in ms is one in seconds. */
const SECONDS_BELOW = 100_000_000_000;

type PositionValue = Pick<Position, 'id' | 'receipts'>;

/** Client state, subscriptions and read positions. */
export class Clients implements ClientStore, PositionStore {
  constructor(
    private readonly db: Database,
    private readonly keys: Keys,
  ) {}

  async saveClientStates(states: readonly ClientState[]): Promise<void> {
    const newest = newestStates(states);
    const written = await this.db.all<number>(newest.map((state) => this.change(state)));
    await this.db.all(newest.filter((_, i) => written[i] === 1).flatMap((state) => this.notePresence(state)));
  }

  private change({ clientid, connected, node, connectedAt, disconnectedAt, at }: ClientState): Command {
    const times = [...(connectedAt === null ? [] : ['online_at', connectedAt]), ...(disconnectedAt === null ? [] : ['offline_at', disconnectedAt])];
    return ['EVAL', CHANGE, 1, this.keys.client(clientid), at, 'state', connected ? 1 : 0, 'node', node ?? '', 'known', 1, ...times];
  }

  /** For EMQX's readers. */
  private notePresence({ clientid, connected, node, connectedAt, at }: ClientState): Command[] {
    if (node === null) return [];
    return [connected ? ['HSET', this.keys.node(node), clientid, connectedAt ?? at] : ['HDEL', this.keys.node(node), clientid]];
  }

  async getClientState(clientid: string): Promise<ClientState | null> {
    const names = ['state', 'node', 'online_at', 'offline_at', 'changed_at', 'known'];
    const [state, node, online, offline, changed, known] = await this.db.one<(string | null)[]>('HMGET', this.keys.client(clientid), ...names);
    if (state == null) return null;
    // EMQX's own hash has times of its own.
    const ms = (text: string | null | undefined) => (text == null ? null : known != null || Number(text) >= SECONDS_BELOW ? Number(text) : Number(text) * 1_000);
    const [connectedAt, disconnectedAt] = [ms(online), ms(offline)];
    const at = changed == null ? Math.max(connectedAt ?? 0, disconnectedAt ?? 0) : Number(changed);
    return { clientid, connected: state === '1' || state === 'true', node: node == null || node === '' ? null : node, connectedAt, disconnectedAt, at };
  }

  async putSubscriptions(subscriptions: readonly Subscription[]): Promise<void> {
    await this.db.all(lastSubscriptions(subscriptions).map(({ clientid, topic, qos }) => ['HSET', this.keys.subscriptions(clientid), topic, qos]));
  }

  async deleteSubscriptions(refs: readonly SubscriptionRef[]): Promise<void> {
    await this.db.all(refs.map(({ clientid, topic }) => ['HDEL', this.keys.subscriptions(clientid), topic]));
  }

  async listSubscriptions(clientid: string): Promise<Subscription[]> {
    const pairs = await this.db.one<string[]>('HGETALL', this.keys.subscriptions(clientid));
    const found: Subscription[] = [];
    for (let i = 0; i + 1 < pairs.length; i += 2) found.push({ clientid, topic: pairs[i] ?? '', qos: clampQos(Number(pairs[i + 1])) });
    return found.sort((a, b) => compareText(a.topic, b.topic));
  }

  async getPositions(consumer: string, topics: readonly string[]): Promise<Position[]> {
    if (topics.length === 0) return [];
    const values = await this.db.one<(string | null)[]>('HMGET', this.keys.positions(consumer), ...topics);
    return topics.flatMap((topic, i) => toPosition(consumer, topic, values[i] ?? null));
  }

  async listPositions(consumer: string, after: string, limit: number): Promise<Position[]> {
    const topics = await this.db.one<string[]>('ZRANGEBYLEX', this.keys.positionTopics(consumer), after === '' ? '-' : `(${after}`, '+', 'LIMIT', 0, limit);
    return this.getPositions(consumer, topics);
  }

  async positionsOfTopic(topic: string): Promise<Position[]> {
    const consumers = (await this.db.one<string[]>('SMEMBERS', this.keys.readers(topic))).sort(compareText);
    const values = await this.db.all<string | null>(consumers.map((consumer) => ['HGET', this.keys.positions(consumer), topic]));
    return consumers.flatMap((consumer, i) => toPosition(consumer, topic, values[i] ?? null));
  }

  /** The value first, then what finds it; it goes last. */
  async putPositions(positions: readonly Position[]): Promise<void> {
    const { kept, gone } = lastPositions(positions);
    await this.db.all(kept.map(({ consumer, topic, id, receipts }) => ['HSET', this.keys.positions(consumer), topic, JSON.stringify({ id, receipts } satisfies PositionValue)]));
    await this.db.all([...kept.flatMap((position) => this.index(position)), ...gone.flatMap((position) => this.unindex(position))]);
    await this.db.all(gone.map(({ consumer, topic }) => ['HDEL', this.keys.positions(consumer), topic]));
  }

  private index({ consumer, topic, id }: Position): Command[] {
    const acked = this.keys.acked(consumer, topic);
    return [
      ['ZADD', this.keys.positionTopics(consumer), 0, topic],
      ['SADD', this.keys.readers(topic), consumer],
      ...(acked === null || id === '' ? [] : [['SET', acked, id] as const]),
    ];
  }

  private unindex({ consumer, topic }: Position): Command[] {
    const acked = this.keys.acked(consumer, topic);
    return [
      ['ZREM', this.keys.positionTopics(consumer), topic],
      ['SREM', this.keys.readers(topic), consumer],
      ...(acked === null ? [] : [['DEL', acked] as const]),
    ];
  }
}

function toPosition(consumer: string, topic: string, value: string | null): Position[] {
  if (value === null) return [];
  return [{ consumer, topic, ...(JSON.parse(value) as PositionValue) }];
}
