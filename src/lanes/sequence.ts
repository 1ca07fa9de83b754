/**
 * How far a lane is: every job of a lane has a number, and a later one has a greater number. `tail` is the number of the newest job that was
 * added, whether or not it is done; `oldest` is that of the oldest job that is not done (it waits or is worked on); null: all are done. Jobs that are put off
 * until later do not count.
 */
export interface LaneProgress {
  readonly tail: number;
  readonly oldest: number | null;
  /** The oldest of those that nobody works on yet: what a lane's owner has before it beside its own batch. */
  readonly waiting: number | null;
}

/** Lanes' names, and numbers of theirs. */
export type Tails = Readonly<Record<string, number>>;

export interface Sequence {
  /** One round trip, however many lanes. Throws RetryableError while the queue's database is away. */
  progress(lanes: readonly string[]): Promise<ReadonlyMap<string, LaneProgress>>;
}

export function tailsOf(progress: ReadonlyMap<string, LaneProgress>): Tails {
  return Object.fromEntries([...progress].map(([lane, { tail }]) => [lane, tail]));
}

/** Whether everything up to the tails is done. */
export function hasPassed(progress: ReadonlyMap<string, LaneProgress>, tails: Tails): boolean {
  return [...progress].every(([lane, { oldest }]) => oldest === null || oldest > (tails[lane] ?? 0));
}
