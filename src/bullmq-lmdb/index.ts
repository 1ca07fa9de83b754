import type { BackendFactory, WorkerOptions } from 'bullmq';
import { recover } from './back';
import { LmdbBackend } from './backend';
import type { Database } from './database';
import { unsupported } from './errors';
import type { BackendOptions } from './lifecycle';
import { progressOf, type Progress } from './progress';
import { Tables } from './queue';

export type { Database } from './database';
export type { Progress } from './progress';

/** Makes backends for queues and workers that share one database. */
export interface LmdbBackendFactory extends BackendFactory<LmdbBackend> {
  /**
   * Must be called at the start. Jobs that are active then belonged to a process that is gone. They become the next
   * ones of their queues, in their order.
   */
  recover(): Promise<void>;
  /** How far a queue is, in the numbers that it gives its jobs. */
  progress(queueName: string): Progress;
}

/** All users of the database must share one factory, because it wakes those that wait for jobs. */
export function createLmdbBackend(database: Database): LmdbBackendFactory {
  const tables = new Tables(database);
  const factory: BackendFactory<LmdbBackend> = (name, options) => {
    const { limiter, metrics } = options as Partial<WorkerOptions>;
    if (limiter !== undefined) throw unsupported('a rate limit');
    if (metrics !== undefined) throw unsupported('metrics');
    return new LmdbBackend(tables, name, options as BackendOptions);
  };
  return Object.assign(factory, {
    recover: async () => {
      const queues = tables.names().map((name) => tables.queue(name));
      await Promise.all(queues.map((queue) => queue.write((head) => recover(queue, head))));
    },
    progress: (queueName: string) => progressOf(tables.queue(queueName)),
  });
}
