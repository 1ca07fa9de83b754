/**
 * How far a lane is. Each job of a lane has a number, and later jobs have greater numbers. `tail` is the number of the
 * newest job that was added, whether or not it is done. `oldest` is the number of the oldest job that is not done (it
 * waits or is being handled); null if all are done. Delayed jobs don't count.
 */
export interface LaneProgress {
  readonly tail: number;
  readonly oldest: number | null;
  /**
   * The oldest job that waits, and that no process is handling. For the owner of the lane these are the jobs besides
   * its own batch.
   */
  readonly waiting: number | null;
}

/** Numbers by the name of the lane. */
export type Tails = Readonly<Record<string, number>>;

export interface Sequence {
  /**
   * Takes one round trip for any number of lanes.
   * @throws RetryableError while the queue's database is away.
   */
  progress(lanes: readonly string[]): Promise<ReadonlyMap<string, LaneProgress>>;
}

export function tailsOf(progress: ReadonlyMap<string, LaneProgress>): Tails {
  return Object.fromEntries([...progress].map(([lane, { tail }]) => [lane, tail]));
}

/** Whether all jobs up to the tails are done. */
export function hasPassed(progress: ReadonlyMap<string, LaneProgress>, tails: Tails): boolean {
  return [...progress].every(([lane, { oldest }]) => oldest === null || oldest > (tails[lane] ?? 0));
}
