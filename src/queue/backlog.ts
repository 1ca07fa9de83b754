import type { JobQueue } from './backend';

/** A lane with more jobs than this waiting is behind. */
const BEHIND_JOBS = 32;
const LOOK_EVERY_MS = 2_000;
const GATHER_MS = 100;

/**
 * Whether the message lanes are behind. Events that come one by one make a job each, and a job costs the queue and the store about the same for one
 * event as for a hundred: lanes that are behind catch up only when their jobs get larger, so that events are gathered for a moment then.
 */
export class Backlog {
  private isBehind = false;
  private lookedAt = -Infinity;

  constructor(private readonly lanes: readonly Pick<JobQueue, 'getJobCounts'>[]) {}

  /** How long to wait for more events before a job is made of those that are there. ms. */
  gatherMs(): number {
    const now = performance.now();
    if (now - this.lookedAt >= LOOK_EVERY_MS) {
      this.lookedAt = now;
      void this.look();
    }
    return this.isBehind ? GATHER_MS : 0;
  }

  private async look(): Promise<void> {
    try {
      const waiting = await Promise.all(this.lanes.map(async (lane) => (await lane.getJobCounts('waiting'))['waiting'] ?? 0));
      this.isBehind = Math.max(...waiting) > BEHIND_JOBS;
    } catch {
      // A queue that is away says so to the events themselves.
      this.isBehind = false;
    }
  }
}
