import { Queue, Worker } from 'bullmq';
import type { MigrationPlan } from '../base/migration';
import { healthWithin, type Health, type Weakness } from '../base/health';
import { createLmdbBackend, type LmdbBackendFactory } from '../bullmq-lmdb';
import type { Environment } from '../embedded/environment';
import { LANES, type JobQueue, type QueueBackend } from './backend';
import { EmbeddedState } from './embedded-state';
import type { LaneProgress, Sequence } from './sequence';
import { JobSource, WORKER_OPTIONS } from './source';
import type { SharedState } from './state';

/**
 * BullMQ on the embedded environment. The caller that opened the environment closes it. This process is the only one
 * that works on it.
 */
export class EmbeddedQueue implements QueueBackend {
  readonly state: SharedState;
  readonly sequence: Sequence;
  readonly laneCounts = LANES;
  readonly shared = false;
  private readonly factory: LmdbBackendFactory;

  constructor(
    private readonly environment: Environment,
    private readonly onError: (error: Error) => void,
  ) {
    this.factory = createLmdbBackend(environment);
    this.state = new EmbeddedState(environment);
    this.sequence = { progress: async (lanes) => this.progress(lanes) };
  }

  private progress(lanes: readonly string[]): ReadonlyMap<string, LaneProgress> {
    return new Map(lanes.map((lane) => [lane, this.factory.progress(lane)]));
  }

  queue(name: string): JobQueue {
    const queue = new Queue(name, { connection: {} }, this.factory);
    queue.on('error', this.onError);
    return queue;
  }

  source(name: string): JobSource {
    return new JobSource(() => {
      const worker = new Worker(name, null, { ...WORKER_OPTIONS, connection: {} }, this.factory);
      worker.on('error', this.onError);
      return worker;
    });
  }

  async migrationPlan(): Promise<MigrationPlan> {
    return { pending: [], takeover: [] };
  }

  /** Jobs that the previous process was working on are taken over at once. */
  prepare(): Promise<void> {
    return this.factory.recover();
  }

  health(): Promise<Health> {
    return healthWithin('DATA_DIR', async () => {
      await this.environment.probe();
      return 'embedded (LMDB)';
    });
  }

  /** A confirmed job is on the disk, so there are none. */
  async weaknesses(): Promise<Weakness[]> {
    return [];
  }

  async close(): Promise<void> {}
}
