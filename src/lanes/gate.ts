import type { Lanes } from './lanes';
import type { RetainedJob } from './jobs';
import { laneOf, messageLane, type LaneCounts } from './names';
import { hasPassed, tailsOf, type Sequence } from './sequence';
import { isWildcard } from '../mqtt/topic';

/**
 * The pauses between two checks (ms). A write takes about 10 ms in a quiet system. Each pause is twice as long as the
 * one before, so that a backlog causes few checks.
 */
const FIRST_WAIT_MS = 10;
const LAST_WAIT_MS = 500;

/**
 * Keeps restored messages in order with other writes. When a job that must come after the writes is first seen, it
 * notes how far their lanes have been accepted. The job is done when the lanes are done up to there. Until then it is
 * postponed, and its lane continues with other jobs.
 */
export class Gate {
  constructor(
    private readonly sequence: Sequence,
    private readonly lanes: Pick<Lanes, 'park'>,
    private readonly counts: LaneCounts,
  ) {}

  /** @returns whether the job may be done now. If not, a new job will check again. */
  async isOpenFor(lane: string, job: RetainedJob): Promise<boolean> {
    const { behind, waits = 0 } = job.data;
    const topics = job.name === 'restore' ? [job.data.filter] : job.data.topics;
    const progress = await this.sequence.progress(behind === undefined ? this.lanesOf(topics) : Object.keys(behind));
    const tails = behind ?? tailsOf(progress);
    if (hasPassed(progress, tails)) return true;
    const parked = { ...job, data: { ...job.data, behind: tails, waits: waits + 1 } } as RetainedJob;
    await this.lanes.park(lane, parked, Math.min(FIRST_WAIT_MS * 2 ** waits, LAST_WAIT_MS));
    return false;
  }

  /** The message lanes that may hold writes for the filters. */
  private lanesOf(filters: readonly string[]): string[] {
    const all = this.counts.messages;
    if (filters.some(isWildcard)) return Array.from({ length: all }, (_, lane) => messageLane(lane));
    return [...new Set(filters.map((filter) => laneOf(filter, all)))].map(messageLane);
  }
}
