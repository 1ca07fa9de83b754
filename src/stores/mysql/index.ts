import type { ServiceUrl } from '../../config/url';
import { RetryableError } from '../../errors';
import type { Message, MessageRef } from '../../offline/message';
import { healthWithin } from '../shared/deadline';
import type { SqlParts } from '../shared/operator';
import type { Capabilities, ClientState, Health, MessageQuery, Position, Refusal, Store, Subscription, SubscriptionRef, TopicQuery } from '../store';
import { ClientTables } from './clients';
import { connectionOf } from './connection';
import { Database, type DatabaseOptions } from './database';
import { MessageTable } from './messages';
import { Migrations } from './migrations';
import { RetainedTable } from './retained';

const SETTING = 'STORE_URL';

/** MySQL and MariaDB. */
export class MysqlStore implements Store {
  readonly capabilities: Capabilities = { readYourWrites: true, tombstones: true };
  readonly sql: SqlParts;
  private readonly db: Database;
  private readonly messages: MessageTable;
  private readonly clients: ClientTables;
  private readonly retained: RetainedTable;
  private readonly migrations: Migrations;

  constructor(url: ServiceUrl, options: DatabaseOptions = {}) {
    this.db = new Database(connectionOf(url, SETTING), options);
    this.migrations = new Migrations(this.db);
    this.messages = new MessageTable(this.db);
    this.sql = { runner: this.db, messages: this.messages };
    this.clients = new ClientTables(this.db);
    this.retained = new RetainedTable(this.db);
  }

  migrate(): Promise<void> {
    return this.migrations.run();
  }

  health(): Promise<Health> {
    return healthWithin(SETTING, async () => {
      const [row] = await this.db.rows<{ version: string }>('SELECT VERSION() AS version');
      const schema = await this.migrations.version();
      const problem = this.migrations.problem(schema);
      if (problem !== null) throw new RetryableError(problem);
      // MariaDB says so in its version.
      const version = row?.version ?? '';
      return `${version.includes('MariaDB') ? version.replace(/-MariaDB.*/, '').replace(/^/, 'MariaDB ') : `MySQL ${version}`}, schema ${schema}`;
    });
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
