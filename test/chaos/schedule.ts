import { setTimeout as sleep } from 'node:timers/promises';
import type { FaultBetween, Side } from './causes';
import { faultsOf, type Fault, type FaultGroup, type Targets } from './faults';
import type { Random } from './random';

interface Past {
  readonly kind: string;
  readonly side: Side;
  readonly from: number;
  to: number;
}

/** What a fault causes may come a little later. */
const AFTERMATH_MS = 12_000;

/** Lets faults happen at random instants until it is stopped, and remembers them. */
export class Schedule {
  private readonly past: Past[] = [];
  private running: Promise<void>[] = [];
  private stopping = new AbortController();

  start(groups: readonly FaultGroup[], targets: Targets, random: Random, shortestPauseMs: number, longestPauseMs: number): void {
    this.running = groups.map((group) => this.run(faultsOf(group, targets), random.fork(), shortestPauseMs, longestPauseMs));
    // Thrown by stop.
    for (const each of this.running) each.catch(() => undefined);
  }

  private async run(faults: readonly Fault[], random: Random, shortest: number, longest: number): Promise<void> {
    for (;;) {
      await sleep(random.between(shortest, longest), undefined, { signal: this.stopping.signal }).catch(() => undefined);
      if (this.stopping.signal.aborted) return;
      const { kind, side, happen } = random.pick(faults);
      const fault = { kind, side, from: performance.now(), to: Infinity };
      this.past.push(fault);
      await happen(random);
      fault.to = performance.now();
    }
  }

  /** What is under way is ended; nothing is broken any more. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await Promise.all(this.running);
  }

  readonly between: FaultBetween = (from, to) => new Set(this.past.filter((fault) => fault.from <= to && fault.to + AFTERMATH_MS >= from).map(({ side }) => side));

  happened(kind: string, at: number): boolean {
    return this.past.some((fault) => fault.kind === kind && fault.from <= at && fault.to >= at);
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
    return this.past.filter(({ from, to }) => from <= at && to >= at - beforeMs).map(({ kind, from, to }) => `${kind} ${Math.round(from - at)}..${Math.round(to - at)}`);
  }
}
