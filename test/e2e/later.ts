import type { JobQueue, QueueBackend } from '../../src/lanes/backend';
import { clientLane } from '../../src/lanes/names';

/** Jobs with a longer delay (ms) are for later, such as checks. Shorter ones wait for writes or acknowledgements. */
const MOMENT_MS = 2_000;

type LaterJob = Awaited<ReturnType<JobQueue['getJobs']>>[number];

/** The client lanes' jobs that are to be done later. */
export class Later {
  constructor(private readonly queue: () => QueueBackend) {}

  /** Something is put off for a moment only. */
  async isSoon(): Promise<boolean> {
    return (await this.jobs()).some((job) => (job.opts.delay ?? 0) <= MOMENT_MS);
  }

  /** Retained messages are to be published back. */
  async isRestoring(): Promise<boolean> {
    return (await this.jobs()).some(({ name }) => name === 'restore' || name === 'reconcile');
  }

  /** All of it is done at once. */
  async isNow(): Promise<void> {
    // One may fall due just now.
    await this.inLanes(async (lane) => {
      for (const job of await lane.getJobs(['delayed'])) await job?.promote().catch(() => undefined);
    });
  }

  private async jobs(): Promise<NonNullable<LaterJob>[]> {
    // One may be done between the list and the reading.
    return (await this.inLanes((lane) => lane.getJobs(['delayed']))).flat().filter((job) => (job as LaterJob | undefined) !== undefined);
  }

  private async inLanes<T>(work: (lane: JobQueue) => Promise<T>): Promise<T[]> {
    const queue = this.queue();
    const lanes = Array.from({ length: queue.laneCounts.clients }, (_, lane) => queue.queue(clientLane(lane)));
    const results = await Promise.all(lanes.map(work));
    await Promise.all(lanes.map((lane) => lane.close()));
    return results;
  }
}
