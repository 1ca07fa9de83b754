import type { Config } from '../config/config';
import { PgliteEngine } from '../embedded/engine';
import { openHistory } from '../history';
import type { HistorySink } from '../history/history';
import type { Logger } from '../base/log';
import type { QueueBackend } from '../lanes/backend';
import { PostgresQueue } from '../lanes/postgres';
import { RedisQueue } from '../lanes/redis';
import { openStore } from '../stores';
import { connectionOf } from '../stores/postgres/connection';
import type { Store } from '../stores/store';

/** The databases that a configuration names, opened but not prepared. */
export interface Backends {
  readonly store: Store;
  readonly history: readonly HistorySink[];
  readonly queue: QueueBackend;
  /** What a database server does for itself and the embedded database does not. */
  vacuum(): Promise<void>;
  close(): Promise<void>;
}

export async function openBackends(config: Config, log: Logger): Promise<Backends> {
  const embedded = [config.store, config.queue].some(({ scheme }) => scheme === 'embedded');
  const engine = embedded ? await PgliteEngine.open(config.dataDir, (error) => log.error({ err: error }, error.message)) : null;
  const queue = openQueue(config, engine, (error) => log.warn({ err: error }, 'the queue reports'));
  const store = await openStore(config.store, engine, config.storeSql);
  const history = await openHistory(config.history);
  return {
    store,
    history,
    queue,
    async vacuum() {
      await engine?.vacuum();
    },
    async close() {
      await Promise.all(history.map((sink) => sink.close()));
      await store.close();
      await queue.close();
      await engine?.close();
    },
  };
}

function openQueue({ queue: url }: Config, engine: PgliteEngine | null, onError: (error: Error) => void): QueueBackend {
  switch (url.scheme) {
    case 'embedded':
      if (engine === null) throw new TypeError('the embedded database is not open');
      return new PostgresQueue({ connection: engine.connectionConfig(), exclusive: true, onError });
    case 'postgres':
      return new PostgresQueue({ connection: connectionOf(url, 'QUEUE_URL'), exclusive: false, onError });
    default:
      return new RedisQueue({ url, onError });
  }
}
