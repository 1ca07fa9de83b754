import type { Queue } from 'bullmq';
import type { Health, Weakness } from '../base/health';
import type { MigrationPlan } from '../base/migration';
import type { LaneCounts } from './names';
import type { Sequence } from './sequence';
import type { JobSource } from './source';
import type { SharedState } from './state';

/** What the rest of the server uses of BullMQ's queues, whichever database they are on. */
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

/** Few lanes make large batches: one write to the store for all that waits. A lane's consumer has two batches at work when it is behind. */
export const LANES: LaneCounts = { messages: 1, clients: 2 };

/** A database that BullMQ runs on: one file per kind in this folder. */
export interface QueueBackend {
  readonly state: SharedState;
  readonly sequence: Sequence;
  readonly laneCounts: LaneCounts;
  /** Other processes may work on it, too. */
  readonly shared: boolean;
  /** Makes the database ready for use; throws RetryableError while it is away. What is below needs it first. */
  prepare(): Promise<void>;
  /** What prepare() would create. Changes nothing; throws RetryableError while the database is away. */
  migrationPlan(): Promise<MigrationPlan>;
  queue(name: string): JobQueue;
  source(name: string): JobSource;
  /** Never throws; answers within 3 s. */
  health(): Promise<Health>;
  /** What it may lose of what it has confirmed, when its machine or process dies or its memory is full. Throws while it is away. */
  weaknesses(): Promise<Weakness[]>;
  close(): Promise<void>;
}
