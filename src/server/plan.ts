import type { Logger } from '../base/log';
import type { MigrationPlan } from '../base/migration';
import type { Config } from '../config/config';
import { fileSize } from '../embedded/environment';
import { openHistory } from '../history';
import { openStore } from '../stores';
import { openQueue } from './backends';

/** What `migrate` would do to one database. */
export interface DatabasePlan {
  /** The kind of the database with its URL or name. Example: `history influxdb`. */
  readonly database: string;
  readonly plan: MigrationPlan;
}

/**
 * Yields a plan for each database of the settings. Nothing is changed. An embedded database is not opened, because a
 * running server may use it.
 */
export async function* planMigrations(config: Config, log: Logger): AsyncGenerator<DatabasePlan> {
  yield { database: `queue ${config.queue}`, plan: await queuePlan(config, log) };
  yield { database: `store ${config.store}`, plan: await storePlan(config) };
  const sinks = await openHistory(config.history);
  try {
    for (const sink of sinks) yield { database: `history ${sink.name}`, plan: await sink.migrationPlan() };
  } finally {
    await Promise.all(sinks.map((sink) => sink.close()));
  }
}

async function storePlan(config: Config): Promise<MigrationPlan> {
  if (config.store.scheme === 'embedded') return embeddedPlan(config);
  const store = await openStore(config.store, null, config.storeSql);
  return store.migrationPlan().finally(() => store.close());
}

async function queuePlan(config: Config, log: Logger): Promise<MigrationPlan> {
  if (config.queue.scheme === 'embedded') return embeddedPlan(config);
  const queue = await openQueue(config, null, (error) => log.warn({ err: error }, 'QUEUE_URL: connection error'));
  return queue.migrationPlan().finally(() => queue.close());
}

function embeddedPlan({ dataDir }: Config): MigrationPlan {
  return { pending: fileSize(dataDir) === null ? [`create the embedded database in ${dataDir}`] : [], takeover: [] };
}
