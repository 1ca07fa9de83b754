import { RetryableError } from '../../errors';
import type { Message, MessageRef } from '../../offline/message';
import type { ServiceUrl } from '../../config/url';
import { healthWithin } from '../shared/deadline';
import type { Capabilities, ClientState, Health, MessageQuery, Position, Refusal, Store, Subscription, SubscriptionRef, TopicQuery } from '../store';
import { ClientCollections } from './clients';
import { Database } from './database';
import { MessageCollection } from './messages';
import { Migrations } from './migrations';
import { RetainedCollection } from './retained';
import { settingsOf } from './settings';

/** MongoDB. */
export class MongoStore implements Store {
  readonly capabilities: Capabilities = { readYourWrites: true, tombstones: true };
  private readonly db: Database;
  private readonly messages: MessageCollection;
  private readonly clients: ClientCollections;
  private readonly retained: RetainedCollection;
  private readonly migrations: Migrations;

  /** @throws SettingError */
  constructor(url: ServiceUrl) {
    this.db = new Database(settingsOf(url), url.path);
    this.migrations = new Migrations(this.db);
    this.messages = new MessageCollection(this.db);
    this.clients = new ClientCollections(this.db);
    this.retained = new RetainedCollection(this.db);
  }

  async migrate(): Promise<void> {
    await this.migrations.run();
  }

  health(): Promise<Health> {
    return healthWithin('STORE_URL', () =>
      this.db.soon(async () => {
        const { version, ferretdbVersion } = await this.db.command({ buildInfo: 1 });
        const schema = await this.migrations.version();
        const problem = this.migrations.problem(schema);
        if (problem !== null) throw new RetryableError(problem);
        return `${ferretdbVersion === undefined ? 'MongoDB' : 'FerretDB, as MongoDB'} ${String(version)}, schema ${schema}`;
      }),
    );
  }

  async saveMessages(messages: readonly Message[]): Promise<Refusal[]> {
    return messages.length === 0 ? [] : this.messages.save(messages, Date.now());
  }

  async removeMessages(refs: readonly MessageRef[], tombstoneUntil: number): Promise<number> {
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
    return this.clients.getPositions(consumer, topics);
  }

  listPositions(consumer: string, after: string, limit: number): Promise<Position[]> {
    return this.clients.listPositions(consumer, after, limit);
  }

  putPositions(positions: readonly Position[]): Promise<void> {
    return this.clients.putPositions(positions);
  }

  positionsOfTopic(topic: string): Promise<Position[]> {
    return this.clients.positionsOfTopic(topic);
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

  close(): Promise<void> {
    return this.db.close();
  }
}
