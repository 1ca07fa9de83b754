import type { types } from 'cassandra-driver';
import { RetryableError } from '../../errors';
import type { Message, MessageRef } from '../../offline/message';
import { healthWithin } from '../shared/deadline';
import type { Capabilities, ClientState, Health, MessageQuery, Position, Refusal, Store, Subscription, SubscriptionRef, TopicQuery } from '../store';
import { ClientTables } from './clients';
import { Database } from './database';
import { MessageTable } from './messages';
import { Migrations } from './migrations';
import { PositionTable } from './positions';
import { RetainedTable } from './retained';
import { meets, type CassandraSettings } from './settings';

export { cassandraSettings } from './settings';

/** Cassandra decides by the clocks of those who write which write is the newest. */
const MOST_SKEW_S = 10;

/** Apache Cassandra. */
export class CassandraStore implements Store {
  readonly capabilities: Capabilities;
  private readonly db: Database;
  private readonly messages: MessageTable;
  private readonly clients: ClientTables;
  private readonly positions: PositionTable;
  private readonly retained: RetainedTable;
  private readonly migrations: Migrations;

  constructor(
    settings: CassandraSettings,
    private readonly setting = 'STORE_URL',
  ) {
    this.capabilities = { readYourWrites: meets(settings.consistency), tombstones: true };
    this.db = new Database(settings);
    this.messages = new MessageTable(this.db);
    this.clients = new ClientTables(this.db);
    this.positions = new PositionTable(this.db);
    this.retained = new RetainedTable(this.db);
    this.migrations = new Migrations(this.db);
  }

  migrate(): Promise<void> {
    return this.migrations.run();
  }

  health(): Promise<Health> {
    return healthWithin(this.setting, async () => {
      const [row] = await this.db.rows<{ release_version: string; now: types.TimeUuid }>('SELECT release_version, now() AS now FROM system.local');
      const seconds = Math.round(Math.abs(Date.now() - (row?.now.getDate().getTime() ?? 0)) / 1_000);
      if (seconds > MOST_SKEW_S) throw new RetryableError(`this machine's clock and Cassandra's differ by ${seconds} s: synchronize them (NTP)`);
      const schema = await this.migrations.version();
      const problem = this.migrations.problem(schema);
      if (problem !== null) throw new RetryableError(problem);
      return `Cassandra ${row?.release_version}, schema ${schema}`;
    });
  }

  async saveMessages(messages: readonly Message[]): Promise<Refusal[]> {
    return this.messages.save(messages, Date.now());
  }

  async removeMessages(refs: readonly MessageRef[], tombstoneUntil: number): Promise<number> {
    return this.messages.remove(refs, tombstoneUntil, Date.now());
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

  close(): Promise<void> {
    return this.db.close();
  }
}
