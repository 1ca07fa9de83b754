import type { Item, MailEvent, MessageEvent } from '../../../src/lanes/jobs';
import type { Due, Lanes } from '../../../src/lanes/lanes';
import { clientLane, laneOf, messageLane } from '../../../src/lanes/names';
import type { LaneProgress, Sequence } from '../../../src/lanes/sequence';
import { mailboxKey } from '../../../src/mqtt/consumer';

export type Entry = { readonly order: number } & ({ readonly writes: readonly MessageEvent[] } | { readonly mail: readonly MailEvent[] });

export const LANES = { messages: 1, clients: 2 };
const MESSAGES = messageLane(0);

/** One message lane, and a client lane for each mailbox: what shares a lane in truth is free to come in any order here. */
export class SimulatedQueue {
  readonly delayed: Due[] = [];
  private readonly lanes = new Map<string, Entry[]>();
  private order = 0;
  /** It is being worked on. */
  private active: Entry | null = null;

  /** As Lanes.put: writes first. */
  put(items: readonly Item[]): void {
    const writes = items.flatMap((item) => ('write' in item ? [item.write] : []));
    if (writes.length > 0) this.lane(MESSAGES).push({ writes, order: ++this.order });
    this.mail(items.flatMap((item) => ('mail' in item ? [item.mail] : [])));
  }

  private mail(events: readonly MailEvent[]): void {
    const byMailbox = new Map<string, MailEvent[]>();
    for (const event of events) byMailbox.set(event.to, [...(byMailbox.get(event.to) ?? []), event]);
    for (const [to, own] of byMailbox) this.lane(to).push({ mail: own, order: ++this.order });
  }

  /** The lane that was added to first, of those with something to do; messages before all others. */
  next(choose: (names: string[]) => string = (names) => this.oldest(names)): { lane: string; entry: Entry } | null {
    const names = [...this.lanes].filter(([, entries]) => entries.length > 0).map(([name]) => name);
    if (names.length === 0) return null;
    const lane = choose(names);
    this.active = this.lane(lane)[0] as Entry;
    return { lane, entry: this.active };
  }

  /** It is done. */
  done(lane: string): void {
    this.lane(lane).shift();
  }

  /** The next wake that was put off until then, if any, is now in its lane. */
  due(until: number): number | null {
    const next = this.delayed.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
    if (next === undefined) return null;
    this.delayed.splice(this.delayed.indexOf(next), 1);
    this.mail([{ to: next.to, kind: 'wake' }]);
    return next.at;
  }

  asLanes(): Lanes {
    const lanes: Partial<Record<keyof Lanes, unknown>> = {
      mail: (async (events) => this.mail(events)) satisfies Lanes['mail'],
      late: (async (late) =>
        this.mail(late.map((each) => ({ ...each, kind: 'late', to: mailboxKey(each.consumer) })))) satisfies Lanes['late'],
      wake: (async (due) => void this.delayed.push(...due)) satisfies Lanes['wake'],
      history: async () => undefined,
    };
    return lanes as unknown as Lanes;
  }

  asSequence(): Sequence {
    return { progress: async (names) => new Map(names.map((name) => [name, this.progressOf(name)])) };
  }

  private progressOf(name: string): LaneProgress {
    const isOf = (lane: string) => (lane === MESSAGES ? name === MESSAGES : name === clientLane(laneOf(lane, LANES.clients)));
    const entries = [...this.lanes].filter(([lane]) => isOf(lane)).flatMap(([, own]) => own);
    const least = (some: readonly Entry[]) => (some.length === 0 ? null : Math.min(...some.map(({ order }) => order)));
    return { tail: this.order, oldest: least(entries), waiting: least(entries.filter((entry) => entry !== this.active)) };
  }

  private oldest(names: string[]): string {
    if (names.includes(MESSAGES)) return MESSAGES;
    return names.reduce((oldest, name) => ((this.lane(name)[0]?.order ?? 0) < (this.lane(oldest)[0]?.order ?? 0) ? name : oldest));
  }

  private lane(name: string): Entry[] {
    const lane = this.lanes.get(name) ?? [];
    this.lanes.set(name, lane);
    return lane;
  }
}
