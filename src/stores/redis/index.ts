import type { ServiceUrl } from '../../config/url';
import { RefusedError, RetryableError } from '../../errors';
import type { Message, MessageRef } from '../../offline/message';
import { healthWithin } from '../shared/deadline';
import { MigrationFiles } from '../shared/migration-files';
import type { Capabilities, ClientState, Health, MessageQuery, Position, Refusal, Store, Subscription, SubscriptionRef, TopicQuery } from '../store';
import { Clients } from './clients';
import { Database } from './database';
import { Keys } from './keys';
import { Messages } from './messages';
import { Retained } from './retained';
import { Takeover } from './takeover';

const SETTING = 'STORE_URL';
const COMMAND_TIMEOUT_MS = 60_000;

/** Redis: single, Sentinel, Cluster. */
export class RedisStore implements Store {
  readonly capabilities: Capabilities = { readYourWrites: true, tombstones: true };
  private readonly db: Database;
  private readonly keys: Keys;
  private readonly messages: Messages;
  private readonly clients: Clients;
  private readonly retained: Retained;
  private readonly migrations = new MigrationFiles('redis');

  constructor(url: ServiceUrl) {
    this.db = new Database(url, SETTING, COMMAND_TIMEOUT_MS);
    this.keys = new Keys(url.params['prefix'] ?? 'mqtt');
    this.messages = new Messages(this.db, this.keys);
    this.clients = new Clients(this.db, this.keys);
    this.retained = new Retained(this.db, this.keys);
  }

  /** Every step can be repeated, also by two servers at once. */
  async migrate(): Promise<void> {
    const version = await this.version();
    if (version > this.migrations.newest) throw new RefusedError(this.migrations.problem(version) ?? '');
    if (version === this.migrations.newest) return;
    await new Takeover(this.db, this.keys, { messages: this.messages, retained: this.retained, clients: this.clients }).run();
    await this.db.one('HSET', this.keys.migrations, this.migrations.newest, new Date().toISOString());
  }

  private async version(): Promise<number> {
    return Math.max(0, ...(await this.db.one<string[]>('HKEYS', this.keys.migrations)).map(Number));
  }

  health(): Promise<Health> {
    const check = async (): Promise<string> => {
      const problem = this.migrations.problem(await this.version());
      if (problem !== null) throw new RetryableError(problem);
      const info = await this.db.info();
      return `Redis ${info('redis_version')}${lossOf(info)}`;
    };
    return healthWithin(SETTING, check, () => this.db.troubleText);
  }

  async saveMessages(messages: readonly Message[]): Promise<Refusal[]> {
    await this.messages.save(messages);
    // Redis takes any bytes.
    return [];
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

  async putRetained(messages: readonly Message[]): Promise<Refusal[]> {
    await this.retained.put(messages);
    return [];
  }

  deleteRetained(refs: readonly MessageRef[]): Promise<void> {
    return this.retained.delete(refs);
  }

  listRetained(query: TopicQuery): Promise<Message[]> {
    return this.retained.list(query);
  }

  async close(): Promise<void> {
    this.db.close();
  }
}

/** What makes Redis lose messages by itself. */
function lossOf(info: (name: string) => string): string {
  const evicts = info('maxmemory') !== '0' && info('maxmemory_policy') !== 'noeviction';
  return evicts ? `; its maxmemory-policy ${info('maxmemory_policy')} throws messages away: set noeviction` : '';
}
