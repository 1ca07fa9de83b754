import type { FlowProducer, Job, Queue } from 'bullmq';
import type { Health } from '../stores/store';
import type { LaneCounts } from './names';
import type { SharedState } from './state';

/** What the rest of the server uses of BullMQ, whichever database it runs on. */
export type JobQueue = Pick<
  Queue,
  'name' | 'add' | 'getJob' | 'getJobs' | 'getRanges' | 'getJobCounts' | 'setGlobalConcurrency' | 'remove' | 'close'
>;
export type Flows = Pick<FlowProducer, 'addBulk' | 'close'>;
export interface JobWorker {
  waitUntilReady(): Promise<unknown>;
  /** Resolves when the worker is closed. */
  run(): Promise<void>;
  /** Waits for the job in hand. */
  close(): Promise<void>;
}
export type Process = (job: Job, token: string) => Promise<void>;

export interface Weakness {
  readonly text: string;
  readonly remedy: string;
}

/** Enough for a database server to have work in parallel. */
export const SERVER_LANES: LaneCounts = { messages: 8, clients: 4 };

/** A database that BullMQ runs on: one file per kind in this folder. */
export interface QueueBackend {
  readonly state: SharedState;
  readonly laneCounts: LaneCounts;
  /** Other processes may work on it, too. */
  readonly shared: boolean;
  /** Makes the database ready for use; throws RetryableError while it is away. What is below needs it first. */
  prepare(): Promise<void>;
  flows(): Flows;
  queue(name: string): JobQueue;
  /** A worker that takes one job at a time and is not started yet. */
  worker(name: string, process: Process): JobWorker;
  /** Never throws; answers within 3 s. */
  health(): Promise<Health>;
  /** What it may lose of what it has confirmed, when its machine or process dies or its memory is full. Throws while it is away. */
  weaknesses(): Promise<Weakness[]>;
  close(): Promise<void>;
}

/**
 * A job whose process died is taken over after `lockDuration` at the latest plus one `stalledInterval`; it is never given up
 * (`maxStalledCount`): what was accepted is durable (promise 1).
 */
export const WORKER_OPTIONS = {
  autorun: false,
  concurrency: 1,
  lockDuration: 10_000,
  stalledInterval: 2_000,
  maxStalledCount: 2_147_483_647,
  removeOnComplete: { count: 0 },
} as const;
