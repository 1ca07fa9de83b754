import type { ServiceUrl } from '../../config/url';
import { RetryableError } from '../../errors';
import type { Message, MessageRef } from '../../offline/message';
import { healthWithin } from '../shared/deadline';
import type { Capabilities, ClientState, Health, MessageQuery, Position, Refusal, Store, Subscription, SubscriptionRef, TopicQuery } from '../store';
import { Client } from './client';
import { Clients } from './clients';
import { Messages } from './messages';
import { Migrations } from './migrations';
import { Positions } from './positions';
import { Retained } from './retained';
import { settingsOf } from './settings';

const SETTING = 'STORE_URL';

export interface DynamoStoreOptions {
  /** Of each try; the SDK tries three times. */
  readonly requestTimeoutMs?: number;
}

/** Amazon DynamoDB, and what speaks its language. All reads that the contract depends on are consistent ones. */
export class DynamoStore implements Store {
  readonly capabilities: Capabilities = { readYourWrites: true, tombstones: true };
  private readonly client: Client;
  private readonly messages: Messages;
  private readonly clients: Clients;
  private readonly positions: Positions;
  private readonly retained: Retained;
  private readonly migrations: Migrations;

  /** @throws SettingError */
  constructor(url: ServiceUrl, { requestTimeoutMs }: DynamoStoreOptions = {}) {
    this.client = new Client(settingsOf(url), requestTimeoutMs);
    this.messages = new Messages(this.client);
    this.clients = new Clients(this.client);
    this.positions = new Positions(this.client);
    this.retained = new Retained(this.client);
    this.migrations = new Migrations(this.client);
  }

  migrate(): Promise<void> {
    return this.migrations.run();
  }

  health(): Promise<Health> {
    return healthWithin(SETTING, async () => {
      const schema = await this.migrations.version();
      const problem = this.migrations.problem(schema);
      if (problem !== null) throw new RetryableError(problem);
      return `DynamoDB ${this.client.region}, schema ${schema}`;
    });
  }

  async saveMessages(messages: readonly Message[]): Promise<Refusal[]> {
    this.client.checkOpen();
    return messages.length === 0 ? [] : this.messages.save(messages, Date.now());
  }

  async removeMessages(refs: readonly MessageRef[], tombstoneUntil: number): Promise<number> {
    this.client.checkOpen();
    return refs.length === 0 ? 0 : this.messages.remove(refs, tombstoneUntil);
  }

  getMessage(id: string): Promise<Message | null> {
    return this.messages.get(id);
  }

  listTopics(query: TopicQuery): Promise<string[]> {
    return this.messages.topics(query);
  }

  listMessages(query: MessageQuery): Promise<Message[]> {
    return this.messages.list(query);
  }

  trimTopic(topic: string, keep: number): Promise<number> {
    return this.messages.trim(topic, keep);
  }

  purgeExpired(now: number, limit: number): Promise<number> {
    return this.messages.purge(now, limit);
  }

  countMessages(): Promise<number> {
    return this.messages.count();
  }

  getPositions(consumer: string, topics: readonly string[]): Promise<Position[]> {
    return this.positions.get(consumer, topics);
  }

  listPositions(consumer: string, after: string, limit: number): Promise<Position[]> {
    return this.positions.list(consumer, after, limit);
  }

  putPositions(positions: readonly Position[]): Promise<void> {
    return this.positions.put(positions);
  }

  positionsOfTopic(topic: string): Promise<Position[]> {
    return this.positions.ofTopic(topic);
  }

  saveClientStates(states: readonly ClientState[]): Promise<void> {
    return this.clients.saveStates(states);
  }

  getClientState(clientid: string): Promise<ClientState | null> {
    return this.clients.getState(clientid);
  }

  putSubscriptions(subscriptions: readonly Subscription[]): Promise<void> {
    return this.clients.putSubscriptions(subscriptions);
  }

  deleteSubscriptions(refs: readonly SubscriptionRef[]): Promise<void> {
    return this.clients.deleteSubscriptions(refs);
  }

  listSubscriptions(clientid: string): Promise<Subscription[]> {
    return this.clients.listSubscriptions(clientid);
  }

  putRetained(messages: readonly Message[]): Promise<Refusal[]> {
    return this.retained.put(messages);
  }

  deleteRetained(refs: readonly MessageRef[]): Promise<void> {
    return this.retained.delete(refs);
  }

  listRetained(query: TopicQuery): Promise<Message[]> {
    return this.retained.list(query);
  }

  async close(): Promise<void> {
    this.client.close();
  }
}
