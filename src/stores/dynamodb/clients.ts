import { clampQos } from '../shared/qos';
import { newestStates } from '../shared/newest';
import { compareText } from '../shared/order';
import type { ClientState, ClientStore, Subscription, SubscriptionRef } from '../store';
import { writeAll, type Write } from './batches';
import type { Client } from './client';
import { isPlainKey, keyText } from './keys';
import { pooled } from './pool';
import { secondsToMs } from './rows';
import { number, numberOf, text, textOf, type Item } from './values';

const CLIENTS = 'mqtt_client';
const SUBSCRIPTIONS = 'mqtt_sub';

/** What of the two keys can't be read in the key itself. */
const subscriptionKey = ({ clientid, topic }: SubscriptionRef): Item => ({ clientid: text(keyText(clientid)), topic: text(keyText(topic)) });

/** mqtt_client and mqtt_sub. */
export class Clients implements ClientStore {
  constructor(private readonly client: Client) {}

  async saveClientStates(states: readonly ClientState[]): Promise<void> {
    await pooled(newestStates(states), (state) => this.saveState(state));
  }

  /** EMQX's online_at and offline_at are whole seconds; ours beside them are exact. */
  private async saveState({ clientid, connected, node, connectedAt, disconnectedAt, at }: ClientState): Promise<void> {
    const times = { connected_at: connectedAt, disconnected_at: disconnectedAt, online_at: inSeconds(connectedAt), offline_at: inSeconds(disconnectedAt) };
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
    const connectedAt = numberOf(item['connected_at']) ?? emqxTime(item['online_at']);
    const disconnectedAt = numberOf(item['disconnected_at']) ?? emqxTime(item['offline_at']);
    const at = numberOf(item['changed_at']) ?? Math.max(connectedAt ?? 0, disconnectedAt ?? 0);
    return { clientid, connected: numberOf(item['connect_state']) === 1, node: textOf(item['node']), connectedAt, disconnectedAt, at };
  }

  async putSubscriptions(subscriptions: readonly Subscription[]): Promise<void> {
    await writeAll(
      this.client,
      lastOfEach(subscriptions).map((each): Write => {
        const { clientid, topic, qos } = each;
        const full: Item = { ...(!isPlainKey(clientid) && { clientid_full: text(clientid) }), ...(!isPlainKey(topic) && { topic_full: text(topic) }) };
        return { table: SUBSCRIPTIONS, put: { ...subscriptionKey(each), qos: number(qos), ...full } };
      }),
    );
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
      found.push(...items.map((item) => ({ clientid, topic: textOf(item['topic_full'] ?? item['topic']) ?? '', qos: clampQos(numberOf(item['qos']) ?? 0) })));
    }
    return found.sort((a, b) => compareText(a.topic, b.topic));
  }
}

const inSeconds = (ms: number | null): number | null => (ms === null ? null : Math.floor(ms / 1_000));

/** In seconds, 0 when it has not happened. */
const emqxTime = (value: Item[string] | undefined): number | null => secondsToMs(numberOf(value) || null);

/** DynamoDB refuses a batch with two writes to one item. */
function lastOfEach<T extends SubscriptionRef>(refs: readonly T[]): T[] {
  return [...new Map(refs.map((ref) => [JSON.stringify([ref.clientid, ref.topic]), ref])).values()];
}
