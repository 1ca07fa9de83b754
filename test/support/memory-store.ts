import type { Message, MessageRef } from '../../src/mqtt/message';
import { matches } from '../../src/mqtt/topic';
import type { ClientState, Position, Store, Subscription, SubscriptionRef } from '../../src/stores/store';

type Messages = 'saveMessages' | 'removeMessages' | 'getMessage' | 'listTopics' | 'listMessages' | 'listRefs' | 'topicCounts' | 'trimTopic';
type Clients =
  | 'getPositions'
  | 'listPositions'
  | 'putPositions'
  | 'positionsOfTopic'
  | 'listSubscriptions'
  | 'putSubscriptions'
  | 'deleteSubscriptions'
  | 'getClientState'
  | 'saveClientStates';

/** The parts of a store that the way of a message needs, kept in maps. Tombstones stay for ever. */
export class MemoryStore implements Pick<Store, Messages | Clients> {
  readonly tombstones = new Set<string>();
  readonly states = new Map<string, ClientState>();
  readonly messages = new Map<string, Message>();
  readonly positions = new Map<string, Position>();
  subscriptions: Subscription[] = [];

  asStore(): Store {
    return this as unknown as Store;
  }

  async saveMessages(messages: readonly Message[]) {
    for (const message of messages)
      if (!this.tombstones.has(message.id) && !this.messages.has(message.id)) this.messages.set(message.id, message);
    return [];
  }

  async removeMessages(refs: readonly MessageRef[]) {
    for (const { id } of refs) this.tombstones.add(id);
    return refs.filter(({ id }) => this.messages.delete(id)).length;
  }

  async getMessage(id: string) {
    return this.messages.get(id) ?? null;
  }

  async listTopics({ filter, after, limit }: Parameters<Store['listTopics']>[0]) {
    const topics = new Set([...this.messages.values()].map(({ topic }) => topic));
    return [...topics]
      .filter((topic) => topic > after && matches(filter, topic))
      .sort()
      .slice(0, limit);
  }

  async listMessages({ topic, after, limit, now }: Parameters<Store['listMessages']>[0]) {
    const own = [...this.messages.values()].filter(
      (message) => message.topic === topic && message.id > after && (message.expiresAt ?? Infinity) > now,
    );
    return own.sort((a, b) => (a.id < b.id ? -1 : 1)).slice(0, limit);
  }

  async listRefs(query: Parameters<Store['listRefs']>[0]) {
    return (await this.listMessages(query)).map(({ id, publishReceivedAt }) => ({ id, publishReceivedAt }));
  }

  async topicCounts(topics: readonly string[]) {
    const own = (topic: string) => [...this.messages.values()].filter((message) => message.topic === topic);
    return new Map(topics.map((topic) => [topic, { messages: own(topic).length, oldestAt: own(topic)[0]?.publishReceivedAt ?? null }]));
  }

  async trimTopic(topic: string, keep: number) {
    const own = [...this.messages.values()]
      .filter((message) => message.topic === topic)
      .map(({ id }) => id)
      .sort();
    const gone = own.slice(0, Math.max(0, own.length - keep));
    for (const id of gone) this.messages.delete(id);
    return gone.length;
  }

  async getClientState(clientid: string) {
    return this.states.get(clientid) ?? null;
  }

  async saveClientStates(states: readonly ClientState[]) {
    for (const state of states) if (state.at > (this.states.get(state.clientid)?.at ?? -1)) this.states.set(state.clientid, state);
  }

  async putSubscriptions(subscriptions: readonly Subscription[]) {
    await this.deleteSubscriptions(subscriptions);
    this.subscriptions.push(...subscriptions);
  }

  async deleteSubscriptions(refs: readonly SubscriptionRef[]) {
    this.subscriptions = this.subscriptions.filter(
      (own) => !refs.some(({ clientid, topic }) => own.clientid === clientid && own.topic === topic),
    );
  }

  async getPositions(consumer: string, topics: readonly string[]) {
    return topics.flatMap((topic) => this.positions.get(JSON.stringify([consumer, topic])) ?? []);
  }

  async listPositions(consumer: string, after: string, limit: number) {
    const own = [...this.positions.values()].filter((position) => position.consumer === consumer && position.topic > after);
    return own.sort((a, b) => (a.topic < b.topic ? -1 : 1)).slice(0, limit);
  }

  async putPositions(positions: readonly Position[]) {
    for (const position of positions) {
      const key = JSON.stringify([position.consumer, position.topic]);
      if ((this.positions.get(key)?.version ?? 0) > (position.version ?? 0)) continue;
      if (position.id === '' && position.receipts.length === 0) this.positions.delete(key);
      else this.positions.set(key, position);
    }
  }

  async positionsOfTopic(topic: string) {
    return [...this.positions.values()].filter((position) => position.topic === topic);
  }

  async listSubscriptions(clientid: string) {
    return this.subscriptions.filter((subscription) => subscription.clientid === clientid);
  }
}
