import type { ServiceUrl } from '../../config/url';
import { RetryableError } from '../../errors';
import type { Message, MessageRef } from '../../offline/message';
import { healthWithin } from '../shared/deadline';
import type { Capabilities, ClientState, Health, MessageQuery, Position, Refusal, Store, Subscription, SubscriptionRef, TopicQuery } from '../store';
import { Client } from './client';
import { ClientTables } from './clients';
import { MessageTable } from './messages';
import { Migrations } from './migrations';
import { Removals } from './removals';
import { RetainedTable } from './retained';
import { Sweeper } from './sweeper';
import { TopicTable } from './topics';

/** ClickHouse, over HTTP. */
export class ClickHouseStore implements Store {
  readonly capabilities: Capabilities = { readYourWrites: true, tombstones: true };
  private readonly db: Client;
  private readonly removals: Removals;
  private readonly messages: MessageTable;
  private readonly topics: TopicTable;
  private readonly clients: ClientTables;
  private readonly retained: RetainedTable;
  private readonly migrations: Migrations;
  private readonly sweeper: Sweeper;

  /** @throws SettingError */
  constructor(url: ServiceUrl) {
    this.db = new Client(url);
    this.migrations = new Migrations(this.db);
    this.removals = new Removals(this.db);
    this.messages = new MessageTable(this.db, this.removals);
    this.topics = new TopicTable(this.db, this.messages);
    this.clients = new ClientTables(this.db);
    this.retained = new RetainedTable(this.db);
    this.sweeper = new Sweeper(this.db, this.removals);
  }

  migrate(): Promise<void> {
    return this.migrations.run();
  }

  health(): Promise<Health> {
    return healthWithin('STORE_URL', async () => {
      const [row] = await this.db.rows<{ version: string; readonly: string }>(
        `SELECT version() AS version, (SELECT value FROM system.settings WHERE name = 'readonly') AS readonly`,
      );
      if (row?.readonly !== '0') throw new RetryableError('the user is read-only and needs to write');
      const schema = await this.migrations.version();
      const problem = this.migrations.problem(schema);
      if (problem !== null) throw new RetryableError(problem);
      return `ClickHouse ${row?.version}, schema ${schema}`;
    });
  }

  async saveMessages(messages: readonly Message[]): Promise<Refusal[]> {
    return messages.length === 0 ? [] : this.messages.save(messages, Date.now());
  }

  async removeMessages(refs: readonly MessageRef[], tombstoneUntil: number): Promise<number> {
    return refs.length === 0 ? 0 : this.removals.remove(refs, tombstoneUntil, Date.now());
  }

  getMessage(id: string): Promise<Message | null> {
    return this.messages.get(id);
  }

  listTopics(query: TopicQuery): Promise<string[]> {
    return this.topics.list(query);
  }

  listMessages(query: MessageQuery): Promise<Message[]> {
    return this.messages.list(query);
  }

  trimTopic(topic: string, keep: number): Promise<number> {
    return this.messages.trim(topic, keep, Date.now());
  }

  async purgeExpired(now: number, limit: number): Promise<number> {
    const removed = await this.messages.purge(now, limit);
    // The last step of a run: what it removed, and what others did, is given back to the disk.
    if (removed < limit) await this.sweeper.run();
    return removed;
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
