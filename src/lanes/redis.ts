import { Queue, Worker } from 'bullmq';
import type { ServiceUrl } from '../config/url';
import { errorText, RetryableError } from '../base/errors';
import type { MigrationPlan } from '../base/migration';
import { healthWithin, type Health, type Weakness } from '../base/health';
import { checkRedisUrl, connected, connectRedis, type RedisClientOptions, type RedisConnection } from '../redis/connect';
import { weaknessesOf } from '../redis/durability';
import { infoField, replicaProblem } from '../redis/info';
import { LANES, type JobQueue, type QueueBackend } from './backend';
import { RedisSequence } from './redis-sequence';
import { RedisState } from './redis-state';
import type { Sequence } from './sequence';
import { JobSource, WORKER_OPTIONS } from './source';
import type { SharedState } from './state';

/** The hash tag puts all keys of the queues into one slot, which BullMQ's scripts need on Redis Cluster. */
const PREFIX = '{offline}';
/**
 * A connection on which nothing is answered for this long (ms) is closed, because the server may have vanished without
 * closing it.
 */
const SILENCE_MS = { producers: 5_000, /** BullMQ makes blocking calls of up to 10 s on copies of this connection. */ consumers: 15_000 };
/** Less than a health check may take (ms). */
const CONNECT_TIMEOUT_MS = 2_500;

/** A wait for a job lasts a second, and BullMQ's watchdog ends a late one after another second (ms). */
const STUCK_MS = 6_000;

export interface RedisQueueOptions {
  readonly url: ServiceUrl;
  readonly onError: (error: Error) => void;
  /** How long a connection may have commands without any answer before it is replaced (ms). */
  readonly silenceMs?: { readonly producers: number; readonly consumers: number };
}

/** BullMQ on Redis: a single server, Sentinel or Cluster. */
export class RedisQueue implements QueueBackend {
  readonly state: SharedState;
  readonly sequence: Sequence;
  readonly laneCounts = LANES;
  readonly shared = true;
  private readonly producers: RedisConnection;
  private readonly consumers: RedisConnection;

  constructor(private readonly options: RedisQueueOptions) {
    checkRedisUrl(options.url, 'QUEUE_URL');
    const { producers, consumers } = options.silenceMs ?? SILENCE_MS;
    // While Redis is away an add fails at once, so that EMQX gets its 503. A worker waits instead.
    this.producers = this.connect({ maxRetriesPerRequest: 0, enableOfflineQueue: false, commandTimeout: 10_000, socketTimeout: producers });
    this.consumers = this.connect({ maxRetriesPerRequest: null, socketTimeout: consumers });
    this.state = new RedisState(this.producers, PREFIX);
    this.sequence = new RedisSequence(this.producers, PREFIX);
  }

  private connect(options: RedisClientOptions): RedisConnection {
    const client = connectRedis(this.options.url, 'QUEUE_URL', options);
    client.on('error', this.options.onError);
    return client;
  }

  queue(name: string): JobQueue {
    const queue = new Queue(name, { connection: this.producers, prefix: PREFIX });
    queue.on('error', this.options.onError);
    return queue;
  }

  source(name: string): JobSource {
    const isCluster = this.options.url.scheme === 'redis+cluster';
    return new JobSource(
      () => {
        const worker = new Worker(name, null, { ...WORKER_OPTIONS, connection: this.consumers, prefix: PREFIX });
        worker.on('error', this.options.onError);
        return worker;
      },
      isCluster ? { stuckMs: STUCK_MS } : {},
    );
  }

  async migrationPlan(): Promise<MigrationPlan> {
    return { pending: [], takeover: [] };
  }

  async prepare(): Promise<void> {
    try {
      await connected(this.producers, CONNECT_TIMEOUT_MS);
      await this.producers.ping();
    } catch (error) {
      throw new RetryableError(`QUEUE_URL: ${errorText(error)}`);
    }
  }

  health(): Promise<Health> {
    return healthWithin('QUEUE_URL', async () => {
      await connected(this.producers, CONNECT_TIMEOUT_MS);
      const info = await this.producers.info();
      const field = (name: string): string => infoField(info, name);
      const replica = this.options.url.scheme === 'redis+cluster' ? null : replicaProblem(field);
      if (replica !== null) throw new RetryableError(replica);
      return `Redis ${field('redis_version')}`;
    });
  }

  weaknesses(): Promise<Weakness[]> {
    return weaknessesOf(this.producers);
  }

  async close(): Promise<void> {
    this.producers.disconnect();
    this.consumers.disconnect();
  }
}
