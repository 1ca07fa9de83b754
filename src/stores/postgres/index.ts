import type { ClientConfig } from 'pg';
import { RetryableError } from '../../errors';
import type { Message, MessageRef } from '../../offline/message';
import { healthWithin } from '../shared/deadline';
import type { SqlParts } from '../shared/operator';
import type { Capabilities, ClientState, Health, MessageQuery, Position, Refusal, Store, Subscription, SubscriptionRef, TopicQuery } from '../store';
import { ClientTables } from './clients';
import { Database } from './database';
import { MessageTable } from './messages';
import { Migrations } from './migrations';
import { RetainedTable } from './retained';

/** For what speaks PostgreSQL's language under another name. */
export interface PostgresStoreOptions {
  /** What errors and health() call it. */
  readonly product?: string;
  /** The setting that health() names when something is wrong. */
  readonly setting?: string;
  /** The folder of migrations/. */
  readonly migrations?: string;
}

/** PostgreSQL, and what speaks its language: the embedded database, TimescaleDB. */
export class PostgresStore implements Store {
  readonly capabilities: Capabilities = { readYourWrites: true, tombstones: true };
  readonly sql: SqlParts;
  private readonly db: Database;
  private readonly messages: MessageTable;
  private readonly clients: ClientTables;
  private readonly retained: RetainedTable;
  private readonly migrations: Migrations;
  private readonly product: string;
  private readonly setting: string;

  constructor(connection: ClientConfig, { product = 'PostgreSQL', setting = 'STORE_URL', migrations = 'postgres' }: PostgresStoreOptions = {}) {
    this.product = product;
    this.setting = setting;
    this.db = new Database(connection, product);
    this.migrations = new Migrations(this.db, migrations);
    this.messages = new MessageTable(this.db);
    this.sql = { runner: this.db, messages: this.messages };
    this.clients = new ClientTables(this.db);
    this.retained = new RetainedTable(this.db);
  }

  migrate(): Promise<void> {
    return this.migrations.run();
  }

  health(): Promise<Health> {
    return healthWithin(this.setting, async () => {
      const [row] = await this.db.rows<{ version: string }>(`SELECT current_setting('server_version') AS version`);
      const schema = await this.migrations.version();
      const problem = this.migrations.problem(schema);
      if (problem !== null) throw new RetryableError(problem);
      return `${this.product} ${row?.version}, schema ${schema}`;
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
