import type { IQueueBackend, WorkerOptions } from 'bullmq';
import type { StoredQueue, Tables } from './queue';
import { RefusingBackend } from './refused';

/** The options of a queue or a worker that a backend uses. */
export type BackendOptions = Pick<
  Partial<WorkerOptions>,
  'lockDuration' | 'maxStalledCount' | 'stalledInterval' | 'removeOnComplete' | 'removeOnFail' | 'name'
>;

type Names = 'qualifiedName' | 'keys' | 'toKey' | 'parseNodeKey' | 'clientName' | 'setName' | 'getClientList';
type Life =
  'waitUntilReady' | 'close' | 'closing' | 'disconnect' | 'minimumBlockTimeout' | 'waitForJob' | 'disconnectBlocking' | 'reconnectBlocking';

/** The names of a backend, how it starts and stops, and how it waits for jobs. */
export class Lifecycle extends RefusingBackend implements Pick<IQueueBackend, Names | Life> {
  closing: Promise<void> | undefined = undefined;
  readonly minimumBlockTimeout = 0.001;
  readonly keys = {};
  protected readonly queue: StoredQueue;
  private readonly waits = new Set<() => void>();
  private isDisconnected = false;

  constructor(
    protected readonly tables: Tables,
    readonly qualifiedName: string,
    protected readonly options: BackendOptions,
  ) {
    super();
    this.queue = tables.queue(qualifiedName);
  }

  async waitUntilReady(): Promise<void> {}

  /** The database stays open, because others use it, too. */
  close(): Promise<void> {
    this.closing ??= this.disconnect();
    return this.closing;
  }

  async disconnect(): Promise<void> {
    this.endWaits();
  }

  /** @param blockTimeout in s */
  async waitForJob(blockTimeout: number): Promise<{ member: string; score: number } | null> {
    if (this.closing !== undefined || this.isDisconnected) return null;
    let stop: (() => void) | undefined;
    const isFound = await this.queue.signal.wait(Math.max(0, blockTimeout) * 1_000, (end) => this.waits.add((stop = end)));
    if (stop !== undefined) this.waits.delete(stop);
    // A score of 0 means that a job may be taken now.
    return isFound ? { member: '0', score: 0 } : null;
  }

  async disconnectBlocking(): Promise<void> {
    this.isDisconnected = true;
    this.endWaits();
  }

  async reconnectBlocking(): Promise<void> {
    this.isDisconnected = false;
  }

  private endWaits(): void {
    for (const end of [...this.waits]) end();
  }

  toKey(type: string): string {
    return `${this.qualifiedName}:${type}`;
  }

  parseNodeKey(key: string): { prefix: string; queueName: string; id: string } {
    const end = key.lastIndexOf(':');
    return { prefix: '', queueName: key.slice(0, end), id: key.slice(end + 1) };
  }

  clientName(suffix = ''): string {
    return `${this.qualifiedName}${suffix}`;
  }

  async setName(): Promise<void> {}

  async getClientList(): Promise<string[]> {
    return [];
  }
}
