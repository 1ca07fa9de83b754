import type { Message, MessageRef } from '../../../src/offline/message';
import { matches } from '../../../src/offline/topic';
import type { ClientState, MessageQuery, Store, TopicQuery } from '../../../src/stores/store';

/** As much of a store as the way of a message needs. */
export class MemoryStore {
  readonly messages = new Map<string, Message>();
  readonly tombstones = new Set<string>();
  readonly states = new Map<string, ClientState>();

  asStore(): Store {
    return this as unknown as Store;
  }

  async saveMessages(messages: readonly Message[]): Promise<[]> {
    for (const message of messages) if (!this.tombstones.has(message.id) && !this.messages.has(message.id)) this.messages.set(message.id, message);
    return [];
  }

  async removeMessages(refs: readonly MessageRef[]): Promise<number> {
    for (const { id } of refs) this.tombstones.add(id);
    return refs.filter(({ id }) => this.messages.delete(id)).length;
  }

  async getMessage(id: string): Promise<Message | null> {
    return this.messages.get(id) ?? null;
  }

  async listTopics({ filter, after, limit }: TopicQuery): Promise<string[]> {
    const topics = new Set([...this.messages.values()].map(({ topic }) => topic));
    return [...topics].filter((topic) => topic > after && matches(filter, topic)).sort().slice(0, limit);
  }

  async listMessages({ topic, after, limit, now }: MessageQuery): Promise<Message[]> {
    return [...this.messages.values()]
      .filter((message) => message.topic === topic && message.id > after && (message.expiresAt ?? Infinity) > now)
      .sort((a, b) => (a.id < b.id ? -1 : 1))
      .slice(0, limit);
  }

  async trimTopic(): Promise<number> {
    return 0;
  }

  async getClientState(clientid: string): Promise<ClientState | null> {
    return this.states.get(clientid) ?? null;
  }
}
