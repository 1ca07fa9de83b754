import { clientLane, laneOf, messageLane, type LaneCounts } from '../../lanes/names';
import { hasPassed, tailsOf, type LaneProgress, type Sequence } from '../../lanes/sequence';
import { runThen } from '../box/fact';
import { isGroup, type Run } from '../box/mailbox';
import { isWildcard, splitShare } from '../../mqtt/topic';
import type { Seat } from './seat';

/**
 * Keeps promise 4. A run notes how far those lanes have been accepted that may hold writes for its filter, and reads
 * when they are done up to there. A group's run also waits for the client lanes, because its members' acknowledgements
 * wait there and are passed on from there. All runs of a pass need one small read together.
 */
export class Gates {
  constructor(
    private readonly sequence: Sequence,
    private readonly counts: LaneCounts,
  ) {}

  async look(seats: readonly Seat[], now: number): Promise<void> {
    const waiting = seats.flatMap((seat) => seat.plan(now).gates.map((run) => ({ seat, run, lanes: this.lanesOf(seat, run) })));
    if (waiting.length === 0) return;
    const all = await this.sequence.progress([...new Set(waiting.flatMap(({ lanes }) => lanes))]);
    for (const { seat, run, lanes } of waiting) {
      const own = clientLane(laneOf(seat.key, this.counts.clients));
      const progress = new Map(lanes.flatMap((lane) => progressOf(all, lane, lane === own)));
      const tails = run.behind === 'note' || run.behind === null ? tailsOf(progress) : run.behind.tails;
      seat.learn({ kind: 'gated', ...runThen(run), tails: hasPassed(progress, tails) ? null : tails }, now);
    }
  }

  private lanesOf(seat: Seat, run: Run): string[] {
    if (run.behind !== 'note' && run.behind !== null) return Object.keys(run.behind.tails);
    if (isGroup(seat.mailbox)) {
      const all = Array.from({ length: this.counts.clients }, (_, lane) => clientLane(lane));
      return run.gathers > 0 ? [...all, ...this.messageLanes(run.filter)] : [clientLane(laneOf(seat.key, this.counts.clients))];
    }
    return this.messageLanes(run.filter);
  }

  private messageLanes(subscribed: string): string[] {
    const { filter } = splitShare(subscribed);
    const all = Array.from({ length: this.counts.messages }, (_, lane) => messageLane(lane));
    return isWildcard(filter) ? all : [messageLane(laneOf(filter, this.counts.messages))];
  }
}

/**
 * In its own lane a run does not wait for the batch that is being handled, because the events before it in that batch
 * have been applied.
 */
function progressOf(all: ReadonlyMap<string, LaneProgress>, lane: string, isOwn: boolean): [string, LaneProgress][] {
  const progress = all.get(lane);
  return progress === undefined ? [] : [[lane, isOwn ? { ...progress, oldest: progress.waiting } : progress]];
}
