import type { Queue } from 'bullmq';
import type { Health, Weakness } from '../base/health';
import type { MigrationPlan } from '../base/migration';
import type { LaneCounts } from './names';
import type { Sequence } from './sequence';
import type { JobSource } from './source';
import type { SharedState } from './state';

/** The methods of BullMQ's queues that the server uses, whichever database they are on. */
export type JobQueue = Pick<
  Queue,
  | 'name'
  | 'add'
  | 'addBulk'
  | 'getJob'
  | 'getJobs'
  | 'getRanges'
  | 'getJobCounts'
  | 'setGlobalConcurrency'
  | 'removeGlobalConcurrency'
  | 'remove'
  | 'close'
>;

/**
 * The number of lanes is small, so that batches are large: one write to the store for everything that waits. When a
 * message lane is behind, its consumer works on two batches at once.
 */
export const LANES: LaneCounts = { messages: 1, clients: 2 };

/** A database that BullMQ runs on. Each kind has a file in this folder. */
export interface QueueBackend {
  readonly state: SharedState;
  readonly sequence: Sequence;
  readonly laneCounts: LaneCounts;
  /** True if other processes may work on the same queue. */
  readonly shared: boolean;
  /**
   * Makes the database ready for use. The methods below need that.
   * @throws RetryableError while the database is away.
   */
  prepare(): Promise<void>;
  /** What prepare() would create. Changes nothing; throws RetryableError while the database is away. */
  migrationPlan(): Promise<MigrationPlan>;
  queue(name: string): JobQueue;
  source(name: string): JobSource;
  /** Never throws; answers within 3 s. */
  health(): Promise<Health>;
  /**
   * Reasons why the database may lose what it has confirmed: when its machine or process dies, or when its memory is
   * full. Throws while the database is away.
   */
  weaknesses(): Promise<Weakness[]>;
  close(): Promise<void>;
}
