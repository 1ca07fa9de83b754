import type { Config } from '../config/config';
import { Environment } from '../embedded/environment';
import { openHistory } from '../history';
import type { HistorySink } from '../history/history';
import { isRetryable, reporting, unhealthy } from '../base/dependency';
import type { Dependency } from '../base/dependency-log';
import type { Logger } from '../base/log';
import type { QueueBackend } from '../lanes/backend';
import { openStore } from '../stores';
import { connectionOf } from '../stores/postgres/connection';
import type { Store } from '../stores/store';
import { historyDependency, queueDependency, reportingQueue, storeDependency } from './dependencies';

/** The opened databases of a configuration. Their tables may not exist yet. */
export interface Backends {
  readonly store: Store;
  readonly history: readonly HistorySink[];
  readonly queue: QueueBackend;
  /** The embedded database; null if neither the store nor the queue uses it. */
  readonly environment: Environment | null;
  /** They report the state of the store and the queue in the log. */
  readonly dependencies: { readonly store: Dependency; readonly queue: Dependency };
  close(): Promise<void>;
}

export async function openBackends(config: Config, log: Logger): Promise<Backends> {
  const embedded = [config.store, config.queue].some(({ scheme }) => scheme === 'embedded');
  const environment = embedded ? await Environment.open(config.dataDir) : null;
  let watchedQueue: Dependency | null = null;
  const queue = await openQueue(config, environment, (error) => watchedQueue?.failed(error));
  const store = await openStore(config.store, environment, config.storeSql);
  const history = await openHistory(config.history);
  const dependencies = { queue: queueDependency(queue, log), store: storeDependency(store, log) };
  watchedQueue = dependencies.queue;
  const histories = history.map((sink) => ({ sink, dependency: historyDependency(sink, log) }));
  return {
    store: reporting(store, dependencies.store, isRetryable, { health: unhealthy }),
    history: histories.map(({ sink, dependency }) => reporting(sink, dependency, isRetryable, { health: unhealthy })),
    queue: reportingQueue(queue, dependencies.queue),
    environment,
    dependencies,
    async close() {
      for (const each of [...Object.values(dependencies), ...histories.map(({ dependency }) => dependency)]) each.close();
      await Promise.all(history.map((sink) => sink.close()));
      await store.close();
      await queue.close();
      await environment?.close();
    },
  };
}

/** Opens the queue. The code of a database is loaded only if QUEUE_URL names this database. */
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
