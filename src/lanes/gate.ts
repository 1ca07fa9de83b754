import type { Lanes } from './lanes';
import type { RetainedJob } from './jobs';
import { laneOf, messageLane, type LaneCounts } from './names';
import { hasPassed, tailsOf, type Sequence } from './sequence';
import { isWildcard } from '../mqtt/topic';

/** A write takes some 10 ms in a quiet system; behind a backlog the looks become fewer. */
const FIRST_WAIT_MS = 10;
const LAST_WAIT_MS = 500;

/**
 * The order of what is restored: a job that must be behind the writes notes how far their lanes have been accepted when it is seen for
 * the first time, and is done when they are done up to there. Until then it is put off, and its lane goes on with others.
 */
export class Gate {
  constructor(
    private readonly sequence: Sequence,
    private readonly lanes: Pick<Lanes, 'park'>,
    private readonly counts: LaneCounts,
  ) {}

  /** @returns whether the job may be done now; otherwise a job of its own looks again. */
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

  /** The message lanes that hold the writes which the filters can match. */
  private lanesOf(filters: readonly string[]): string[] {
    const all = this.counts.messages;
    if (filters.some(isWildcard)) return Array.from({ length: all }, (_, lane) => messageLane(lane));
    return [...new Set(filters.map((filter) => laneOf(filter, all)))].map(messageLane);
  }
}
