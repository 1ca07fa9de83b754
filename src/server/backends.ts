import type { Config } from '../config/config';
import { Environment } from '../embedded/environment';
import { openHistory } from '../history';
import type { HistorySink } from '../history/history';
import type { Logger } from '../base/log';
import type { QueueBackend } from '../lanes/backend';
import { openStore } from '../stores';
import { connectionOf } from '../stores/postgres/connection';
import type { Store } from '../stores/store';

/** The databases that a configuration names, opened but not prepared. */
export interface Backends {
  readonly store: Store;
  readonly history: readonly HistorySink[];
  readonly queue: QueueBackend;
  /** The embedded database, where the store or the queue is on it. */
  readonly environment: Environment | null;
  close(): Promise<void>;
}

export async function openBackends(config: Config, log: Logger): Promise<Backends> {
  const embedded = [config.store, config.queue].some(({ scheme }) => scheme === 'embedded');
  const environment = embedded ? await Environment.open(config.dataDir) : null;
  const queue = await openQueue(config, environment, (error) => log.warn({ err: error }, 'the queue reports'));
  const store = await openStore(config.store, environment, config.storeSql);
  const history = await openHistory(config.history);
  return {
    store,
    history,
    queue,
    environment,
    async close() {
      await Promise.all(history.map((sink) => sink.close()));
      await store.close();
      await queue.close();
      await environment?.close();
    },
  };
}

/** BullMQ's database. What it needs is loaded when it is chosen. */
export async function openQueue(
  { queue: url }: Config,
  environment: Environment | null,
  onError: (error: Error) => void,
): Promise<QueueBackend> {
  switch (url.scheme) {
    case 'embedded': {
      if (environment === null) throw new TypeError('the embedded database is not open');
      const { EmbeddedQueue } = await import('../lanes/embedded.js');
      return new EmbeddedQueue(environment, onError);
    }
    case 'postgres': {
      const { PostgresQueue } = await import('../lanes/postgres.js');
      return new PostgresQueue({ connection: connectionOf(url, 'QUEUE_URL'), onError });
    }
    default: {
      const { RedisQueue } = await import('../lanes/redis.js');
      return new RedisQueue({ url, onError });
    }
  }
}
