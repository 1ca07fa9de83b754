import { clampQos } from '../../mqtt/qos';
import { newestStates } from '../shared/newest';
import { compareText } from '../shared/order';
import { isOver, isThere, Sweep } from '../shared/unseen';
import type { ClientState, ClientStore, Purged, StateTimes, Subscription, SubscriptionRef } from '../store';
import { readAll, writeAll, type Write } from './batches';
import type { Client } from './client';
import { isPlainKey, keyText } from './keys';
import { pooled } from './pool';
import { secondsToMs } from './rows';
import { number, numberOf, text, textOf, type Item } from './values';

const CLIENTS = 'mqtt_client';
const SUBSCRIPTIONS = 'mqtt_sub';

/** The keys of a subscription. A text that does not fit into a key is replaced by its hash. */
const subscriptionKey = ({ clientid, topic }: SubscriptionRef): Item => ({
  clientid: text(keyText(clientid)),
  topic: text(keyText(topic)),
});

/** mqtt_client and mqtt_sub. */
export class Clients implements ClientStore {
  private readonly subscriptionSweep: Sweep<Item, Item>;
  private readonly stateSweep: Sweep<Item, Item>;

  constructor(private readonly client: Client) {
    this.subscriptionSweep = new Sweep((cursor, size) =>
      client.scan(SUBSCRIPTIONS, ['clientid', 'clientid_full', 'topic', 'seen_at'], size, cursor),
    );
    const state = [
      'clientid',
      'clientid_full',
      'connect_state',
      'changed_at',
      'connected_at',
      'disconnected_at',
      'online_at',
      'offline_at',
    ];
    this.stateSweep = new Sweep((cursor, size) => client.scan(CLIENTS, state, size, cursor));
  }

  async saveClientStates(states: readonly ClientState[]): Promise<void> {
    await pooled(newestStates(states), (state) => this.saveState(state));
  }

  /**
   * EMQX's online_at and offline_at are in whole seconds. The server's own connected_at and disconnected_at are exact.
   */
  private async saveState({ clientid, connected, node, connectedAt, disconnectedAt, at }: ClientState): Promise<void> {
    const times = {
      connected_at: connectedAt,
      disconnected_at: disconnectedAt,
      online_at: inSeconds(connectedAt),
      offline_at: inSeconds(disconnectedAt),
    };
    const set: Item = { connect_state: number(connected ? 1 : 0), changed_at: number(at) };
    if (node !== null) set['node'] = text(node);
    if (!isPlainKey(clientid)) set['clientid_full'] = text(clientid);
    for (const [name, time] of Object.entries(times)) if (time !== null) set[name] = number(time);
    const names = Object.keys(set);
    await this.client.update(
      CLIENTS,
      { clientid: text(keyText(clientid)) },
      {
        update: `SET ${names.map((name) => `#${name} = :${name}`).join(', ')}${node === null ? ' REMOVE #node' : ''}`,
        condition: 'attribute_not_exists(#changed_at) OR #changed_at <= :changed_at',
        names: Object.fromEntries([...names, ...(node === null ? ['node'] : [])].map((name) => [`#${name}`, name])),
        values: Object.fromEntries(names.map((name) => [`:${name}`, set[name]!])),
      },
    );
  }

  async getClientState(clientid: string): Promise<ClientState | null> {
    const item = await this.client.get(CLIENTS, { clientid: text(keyText(clientid)) });
    if (item === null) return null;
    return toState(clientid, item);
  }

  async putSubscriptions(subscriptions: readonly Subscription[]): Promise<void> {
    const last = lastOfEach(subscriptions);
    const assigned = await this.assigned(last.filter(({ seenAt }) => seenAt !== undefined));
    await writeAll(
      this.client,
      last.map((each): Write => {
        const { clientid, topic, qos, seenAt } = each;
        const seen: Item = seenAt === undefined || assigned.has(JSON.stringify(subscriptionKey(each))) ? {} : { seen_at: number(seenAt) };
        const full: Item = {
          ...(!isPlainKey(clientid) && { clientid_full: text(clientid) }),
          ...(!isPlainKey(topic) && { topic_full: text(topic) }),
        };
        return { table: SUBSCRIPTIONS, put: { ...subscriptionKey(each), qos: number(qos), ...seen, ...full } };
      }),
    );
  }

  /** The keys of subscriptions that are stored as assigned ones, and stay so. */
  private async assigned(refs: readonly SubscriptionRef[]): Promise<ReadonlySet<string>> {
    const items = await readAll(this.client, SUBSCRIPTIONS, refs.map(subscriptionKey), ['clientid', 'topic', 'seen_at']);
    return new Set(items.filter((item) => item['seen_at'] === undefined).map(({ clientid, topic }) => JSON.stringify({ clientid, topic })));
  }

  /** A subscription that changes meanwhile stays. */
  purgeSubscriptions(before: number, limit: number): Promise<Purged> {
    return this.subscriptionSweep.run(limit, async (items) => {
      const old = items.filter((item) => (numberOf(item['seen_at']) ?? Infinity) <= before);
      const removed = await pooled(old, async ({ clientid, topic, clientid_full }) => {
        const id = textOf(clientid_full ?? clientid) ?? '';
        if (isThere(await this.getClientState(id), before) || (await this.timesOf(id)).some((at) => at !== null && at > before)) return 0;
        const on = { condition: 'seen_at <= :before', values: { ':before': number(before) } };
        return (await this.client.delete(SUBSCRIPTIONS, { clientid: clientid!, topic: topic! }, on)) === false ? 0 : 1;
      });
      return removed.reduce<number>((sum, each) => sum + each, 0);
    });
  }

  purgeClientStates(before: StateTimes, limit: number): Promise<Purged> {
    return this.stateSweep.run(limit, async (items) => {
      const states = items.map((item) => ({ item, state: toState(textOf(item['clientid_full'] ?? item['clientid']) ?? '', item) }));
      // Without a time the age of a state is unknown, so it stays.
      const old = states.filter(({ state }) => state.at > 0 && isOver(state, before));
      const removed = await pooled(old, async ({ item, state }) =>
        (await this.timesOf(state.clientid)).includes(null) ? 0 : this.removeState(item),
      );
      return removed.reduce<number>((sum, each) => sum + each, 0);
    });
  }

  /** When events reported the client's subscriptions (ms); null for an assigned one. */
  private async timesOf(clientid: string): Promise<(number | null)[]> {
    const query = { KeyConditionExpression: 'clientid = :c', ExpressionAttributeValues: { ':c': text(keyText(clientid)) } };
    const found: (number | null)[] = [];
    for await (const items of this.client.query(SUBSCRIPTIONS, query)) found.push(...items.map((item) => numberOf(item['seen_at'])));
    return found;
  }

  /**
   * Deletes the state only if it is still as it was read.
   * @returns how many were deleted.
   */
  private async removeState({ clientid, changed_at }: Item): Promise<number> {
    const on =
      changed_at === undefined
        ? { condition: 'attribute_not_exists(changed_at)' }
        : { condition: 'changed_at = :at', values: { ':at': changed_at } };
    return (await this.client.delete(CLIENTS, { clientid: clientid! }, on)) === false ? 0 : 1;
  }

  async deleteSubscriptions(refs: readonly SubscriptionRef[]): Promise<void> {
    await writeAll(
      this.client,
      lastOfEach(refs).map((ref) => ({ table: SUBSCRIPTIONS, remove: subscriptionKey(ref) })),
    );
  }

  async listSubscriptions(clientid: string): Promise<Subscription[]> {
    const query = { KeyConditionExpression: 'clientid = :c', ExpressionAttributeValues: { ':c': text(keyText(clientid)) } };
    const found: Subscription[] = [];
    for await (const items of this.client.query(SUBSCRIPTIONS, query)) {
      found.push(
        ...items.map((item) => ({
          clientid,
          topic: textOf(item['topic_full'] ?? item['topic']) ?? '',
          qos: clampQos(numberOf(item['qos']) ?? 0),
        })),
      );
    }
    return found.sort((a, b) => compareText(a.topic, b.topic));
  }
}

function toState(clientid: string, item: Item): ClientState {
  const connectedAt = numberOf(item['connected_at']) ?? emqxTime(item['online_at']);
  const disconnectedAt = numberOf(item['disconnected_at']) ?? emqxTime(item['offline_at']);
  const at = numberOf(item['changed_at']) ?? Math.max(connectedAt ?? 0, disconnectedAt ?? 0);
  return { clientid, connected: numberOf(item['connect_state']) === 1, node: textOf(item['node']), connectedAt, disconnectedAt, at };
}

const inSeconds = (ms: number | null): number | null => (ms === null ? null : Math.floor(ms / 1_000));

/** EMQX's times are in seconds; 0 if it has not happened. */
const emqxTime = (value: Item[string] | undefined): number | null => secondsToMs(numberOf(value) || null);

/** DynamoDB rejects a batch with two writes to one item. */
function lastOfEach<T extends SubscriptionRef>(refs: readonly T[]): T[] {
  return [...new Map(refs.map((ref) => [JSON.stringify([ref.clientid, ref.topic]), ref])).values()];
}
