import { setTimeout as sleep } from 'node:timers/promises';
import type { FaultBetween, Side } from './causes';
import { faultsOf, type Fault, type FaultGroup, type Targets } from './faults';
import type { Random } from './random';
import type { TrafficOptions } from './traffic';

export interface Pauses {
  /** Until the first fault of each group, in ms. */
  readonly firstMs: readonly [number, number];
  /** From the end of a fault to the beginning of the group's next one, in ms. */
  readonly nextMs: readonly [number, number];
}

interface Past {
  readonly group: FaultGroup;
  readonly kind: string;
  readonly side: Side;
  readonly from: number;
  to: number;
}

/** What a fault causes may come a little later. */
const AFTERMATH_MS = 12_000;

/**
 * Every group's first fault happens while the first half of the messages is published, however few there are, so that the other half meets it.
 * Example: 815 messages at 68 a second take 12 s, and each group's first fault happens in the first 6 s.
 */
export function pausesOf({ messages, perSecond }: Pick<TrafficOptions, 'messages' | 'perSecond'>, nextMs: Pauses['nextMs']): Pauses {
  const halfMs = (messages / perSecond / 2) * 1_000;
  return { firstMs: [Math.min(nextMs[0], halfMs / 4), Math.min(nextMs[1], halfMs)], nextMs };
}

/** Lets faults happen at random instants until it is stopped, and remembers them. */
export class Schedule {
  private readonly past: Past[] = [];
  /** What the traffic did by itself (faults.ts, TRAFFIC_GROUPS): by group and kind, how often. */
  private readonly scenes = new Map<FaultGroup, Map<string, number>>();
  private running: Promise<void>[] = [];
  private stopping = new AbortController();

  start(groups: readonly FaultGroup[], targets: Targets, random: Random, pauses: Pauses): void {
    const scheduled = groups.map((group) => ({ group, faults: faultsOf(group, targets) })).filter(({ faults }) => faults.length > 0);
    this.running = scheduled.map(({ group, faults }) => this.run(group, faults, random.fork(), pauses));
    // Thrown by stop.
    for (const each of this.running) each.catch(() => undefined);
  }

  private async run(group: FaultGroup, faults: readonly Fault[], random: Random, { firstMs, nextMs }: Pauses): Promise<void> {
    for (let pauseMs = firstMs; ; pauseMs = nextMs) {
      await sleep(random.between(...pauseMs), undefined, { signal: this.stopping.signal }).catch(() => undefined);
      if (this.stopping.signal.aborted) return;
      const { kind, side, happen } = random.pick(faults);
      const fault = { group, kind, side, from: performance.now(), to: Infinity };
      this.past.push(fault);
      const hasHappened = await happen(random);
      fault.to = performance.now();
      if (hasHappened === false) this.past.splice(this.past.indexOf(fault), 1);
    }
  }

  /** What is under way is ended; nothing is broken any more. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await Promise.all(this.running);
  }

  readonly between: FaultBetween = (from, to) =>
    new Set(this.past.filter((fault) => fault.from <= to && fault.to + AFTERMATH_MS >= from).map(({ side }) => side));

  happened(kind: string, at: number): boolean {
    return this.past.some((fault) => fault.kind === kind && fault.from <= at && fault.to >= at);
  }

  /** Those of the groups of which no fault has happened. */
  idleAmong(groups: readonly FaultGroup[]): FaultGroup[] {
    return groups.filter((group) => !this.past.some((fault) => fault.group === group) && !this.scenes.has(group));
  }

  /** The traffic has made one of its groups' scenes happen. */
  note(group: FaultGroup, kind: string): void {
    const kinds = this.scenes.get(group) ?? new Map<string, number>();
    this.scenes.set(group, kinds.set(kind, (kinds.get(kind) ?? 0) + 1));
  }

  /** By kind, how often. */
  sceneCounts(): Map<string, number> {
    return new Map([...this.scenes.values()].flatMap((kinds) => [...kinds]));
  }

  get total(): number {
    return this.past.length;
  }

  /** By kind, how often. */
  counts(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const { kind } of this.past) counts.set(kind, (counts.get(kind) ?? 0) + 1);
    return new Map([...counts].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  /** For a report: when, from the given time on, what. */
  around(at: number, beforeMs: number): string[] {
    return this.past
      .filter(({ from, to }) => from <= at && to >= at - beforeMs)
      .map(({ kind, from, to }) => `${kind} ${Math.round(from - at)}..${Math.round(to - at)}`);
  }
}
