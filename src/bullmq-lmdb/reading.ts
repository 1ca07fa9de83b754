import type { IQueueBackend, JobJson, JobState, JobType } from 'bullmq';
import { isMaxed } from './head';
import { Lifecycle } from './lifecycle';
import { Meta } from './meta';
import { counts, ranges, stateOf } from './reads';
import { jobOf } from './record';

type Reads = 'getJobData' | 'getState' | 'isJobInState' | 'isFinished' | 'isMaxed' | 'getCounts' | 'getRanges';
type MetaNames =
  'setQueueMeta' | 'getQueueMetaField' | 'getQueueMetaFields' | 'getQueueMeta' | 'removeQueueMetaFields' | 'hasQueueMetaField';

/** The methods that read a queue, and those for its fields. */
export class Reading extends Lifecycle implements Pick<IQueueBackend, Reads | MetaNames> {
  private readonly meta = new Meta(this.queue);

  async getJobData(jobId: string): Promise<JobJson | undefined> {
    const head = this.queue.head();
    const placed = this.queue.find(head, jobId);
    const record = placed && this.queue.record(head, placed.course.number);
    return placed && record && jobOf(record, placed.course);
  }

  async getState(jobId: string): Promise<JobState | 'unknown'> {
    return this.queue.find(this.queue.head(), jobId)?.state ?? 'unknown';
  }

  async isJobInState(state: string, jobId: string): Promise<boolean> {
    const asked = stateOf(state);
    return asked !== undefined && this.queue.find(this.queue.head(), jobId)?.state === asked;
  }

  async isFinished(jobId: string, returnValue = false): Promise<number | [number, string]> {
    const placed = this.queue.find(this.queue.head(), jobId);
    if (placed === undefined) return returnValue ? [-1, `Missing key for job ${this.toKey(jobId)}. isFinished`] : -1;
    const { more } = placed.course;
    if (placed.state === 'completed') return returnValue ? [1, more.returnvalue ?? ''] : 1;
    if (placed.state === 'failed') return returnValue ? [2, more.failedReason ?? ''] : 2;
    return returnValue ? ([0] as unknown as [number, string]) : 0;
  }

  async isMaxed(): Promise<boolean> {
    return isMaxed(this.queue.head());
  }

  async getCounts(types: JobType[], delayedTimestamp?: number): Promise<number[]> {
    return counts(this.queue, types, delayedTimestamp);
  }

  async getRanges(types: JobType[], start = 0, end = 1, asc = false): Promise<[string][]> {
    return ranges(this.queue, types, start, end, asc) as [string][];
  }

  async setQueueMeta(values: Record<string, string | number>): Promise<number> {
    return this.meta.set(values);
  }

  async getQueueMetaField(field: string): Promise<string | null> {
    return this.meta.get(field);
  }

  async getQueueMetaFields(fields: string[]): Promise<(string | null)[]> {
    return fields.map((field) => this.meta.get(field));
  }

  async getQueueMeta(): Promise<Record<string, string>> {
    return this.queue.meta();
  }

  async removeQueueMetaFields(fields: string[]): Promise<number> {
    return this.meta.remove(fields);
  }

  async hasQueueMetaField(field: string): Promise<boolean> {
    return this.meta.get(field) !== null;
  }

  async pause(pause: boolean): Promise<void> {
    await (pause ? this.meta.set({ paused: 1 }) : this.meta.remove(['paused']));
  }
}
