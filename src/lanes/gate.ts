import type { Lanes } from './lanes';
import type { GatedJob } from './jobs';
import { laneOf, messageLane, type LaneCounts } from './names';
import { hasPassed, tailsOf, type Sequence } from './sequence';
import { isWildcard, splitShare } from '../mqtt/topic';

/** A write takes some 10 ms in a quiet system; behind a backlog the looks become fewer. */
const FIRST_WAIT_MS = 10;
const LAST_WAIT_MS = 500;

/**
 * Promise 4, and the order of what is restored: a job that must be behind the writes notes how far their lanes have been accepted when it is seen for
 * the first time, and is done when they are done up to there. Until then it is put off, and its lane goes on with others. A quiet lane costs one
 * small read, and no job.
 */
export class Gate {
  constructor(
    private readonly sequence: Sequence,
    private readonly lanes: Pick<Lanes, 'park' | 'clientLanes'>,
    private readonly counts: LaneCounts,
  ) {}

  /** @returns whether the job may be done now; otherwise a job of its own looks again. */
  async isOpenFor(lane: string, job: GatedJob): Promise<boolean> {
    const { behind, waits = 0 } = job.data;
    const progress = await this.sequence.progress(behind === undefined ? this.lanesBefore(job) : Object.keys(behind));
    const tails = behind ?? tailsOf(progress);
    if (hasPassed(progress, tails)) return true;
    const parked = { ...job, data: { ...job.data, behind: tails, waits: waits + 1 } } as GatedJob;
    await this.lanes.park(lane, parked, Math.min(FIRST_WAIT_MS * 2 ** waits, LAST_WAIT_MS));
    return false;
  }

  private lanesBefore(job: GatedJob): string[] {
    switch (job.name) {
      case 'gathered':
        return this.lanes.clientLanes;
      case 'restore':
        return this.lanesOf([job.data.filter]);
      case 'reconcile':
        return this.lanesOf(job.data.topics);
      case 'subscribed':
      case 'recheck':
        return this.lanesOf(job.data.requests.map(({ filter }) => filter));
    }
  }

  /** The message lanes that hold the writes which the filters can match. */
  private lanesOf(filters: readonly string[]): string[] {
    const all = this.counts.messages;
    const lanes = new Set<number>();
    for (const each of filters) {
      const { filter } = splitShare(each);
      if (isWildcard(filter)) return Array.from({ length: all }, (_, lane) => messageLane(lane));
      lanes.add(laneOf(filter, all));
    }
    return [...lanes].map(messageLane);
  }
}
