import type { Message, MessageRef } from '../../offline/message';
import type { Capabilities, ClientState, Health, MessageQuery, Position, Refusal, Store, Subscription, SubscriptionRef, TopicQuery } from '../store';

/** What drivers are made of: each part has a file. Arguments and answers as in Store; lists of what to save or remove are never empty. */
export interface StoreParts {
  readonly messages: {
    save(messages: readonly Message[], now: number): Promise<Refusal[]>;
    remove(refs: readonly MessageRef[], tombstoneUntil: number, now: number): Promise<number>;
    get(id: string): Promise<Message | null>;
    topics(query: TopicQuery): Promise<string[]>;
    list(query: MessageQuery): Promise<Message[]>;
    trim(topic: string, keep: number, now: number): Promise<number>;
    purge(now: number, limit: number): Promise<number>;
    count(): Promise<number>;
  };
  readonly clients: {
    saveStates(states: readonly ClientState[]): Promise<void>;
    getState(clientid: string): Promise<ClientState | null>;
    putSubscriptions(subscriptions: readonly Subscription[]): Promise<void>;
    deleteSubscriptions(refs: readonly SubscriptionRef[]): Promise<void>;
    listSubscriptions(clientid: string): Promise<Subscription[]>;
  };
  readonly positions: {
    getPositions(consumer: string, topics: readonly string[]): Promise<Position[]>;
    listPositions(consumer: string, after: string, limit: number): Promise<Position[]>;
    putPositions(positions: readonly Position[]): Promise<void>;
    positionsOfTopic(topic: string): Promise<Position[]>;
  };
  readonly retained: {
    put(messages: readonly Message[]): Promise<Refusal[]>;
    delete(refs: readonly MessageRef[]): Promise<void>;
    list(query: TopicQuery): Promise<Message[]>;
  };
}

/** A store made of parts. A driver adds what concerns the connection: migrate, health, close. */
export abstract class StoreOfParts implements Store {
  abstract readonly capabilities: Capabilities;
  protected abstract readonly parts: StoreParts;

  abstract migrate(): Promise<void>;
  abstract health(): Promise<Health>;
  abstract close(): Promise<void>;

  async saveMessages(messages: readonly Message[]): Promise<Refusal[]> {
    return messages.length === 0 ? [] : this.parts.messages.save(messages, Date.now());
  }

  async removeMessages(refs: readonly MessageRef[], tombstoneUntil: number): Promise<number> {
    return refs.length === 0 ? 0 : this.parts.messages.remove(refs, tombstoneUntil, Date.now());
  }

  getMessage(id: string): Promise<Message | null> {
    return this.parts.messages.get(id);
  }

  listTopics(query: TopicQuery): Promise<string[]> {
    return this.parts.messages.topics(query);
  }

  listMessages(query: MessageQuery): Promise<Message[]> {
    return this.parts.messages.list(query);
  }

  trimTopic(topic: string, keep: number): Promise<number> {
    return this.parts.messages.trim(topic, keep, Date.now());
  }

  purgeExpired(now: number, limit: number): Promise<number> {
    return this.parts.messages.purge(now, limit);
  }

  countMessages(): Promise<number> {
    return this.parts.messages.count();
  }

  getPositions(consumer: string, topics: readonly string[]): Promise<Position[]> {
    return this.parts.positions.getPositions(consumer, topics);
  }

  listPositions(consumer: string, after: string, limit: number): Promise<Position[]> {
    return this.parts.positions.listPositions(consumer, after, limit);
  }

  putPositions(positions: readonly Position[]): Promise<void> {
    return this.parts.positions.putPositions(positions);
  }

  positionsOfTopic(topic: string): Promise<Position[]> {
    return this.parts.positions.positionsOfTopic(topic);
  }

  saveClientStates(states: readonly ClientState[]): Promise<void> {
    return this.parts.clients.saveStates(states);
  }

  getClientState(clientid: string): Promise<ClientState | null> {
    return this.parts.clients.getState(clientid);
  }

  putSubscriptions(subscriptions: readonly Subscription[]): Promise<void> {
    return this.parts.clients.putSubscriptions(subscriptions);
  }

  deleteSubscriptions(refs: readonly SubscriptionRef[]): Promise<void> {
    return this.parts.clients.deleteSubscriptions(refs);
  }

  listSubscriptions(clientid: string): Promise<Subscription[]> {
    return this.parts.clients.listSubscriptions(clientid);
  }

  putRetained(messages: readonly Message[]): Promise<Refusal[]> {
    return this.parts.retained.put(messages);
  }

  deleteRetained(refs: readonly MessageRef[]): Promise<void> {
    return this.parts.retained.delete(refs);
  }

  listRetained(query: TopicQuery): Promise<Message[]> {
    return this.parts.retained.list(query);
  }
}
