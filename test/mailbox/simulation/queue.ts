import { consumerOf } from '../../../src/mqtt/consumer';
import type { ClientJob, Item, MessageEvent, RetainedJob } from '../../../src/lanes/jobs';
import type { Lanes } from '../../../src/lanes/lanes';

export type Work = Exclude<ClientJob, RetainedJob | { name: 'clients' }>;
type Parent = { readonly lane: string; readonly job: Work; children: number };
export type Entry = { readonly order: number } & ({ readonly writes: readonly MessageEvent[] } | { readonly job: Work } | { readonly fence: Parent });

const MESSAGES = 'messages';

/** One message lane, and a client lane for each consumer: what shares a lane in truth is free to come in any order here. A job that waits for writes stands behind a fence in their lane. */
export class SimulatedQueue {
  readonly delayed: { readonly at: number; readonly job: Work }[] = [];
  /** A job that has waited for the writes goes in front of its lane; otherwise behind what has come meanwhile (Gate). The rules must hold either way. */
  parentsFirst = true;
  private readonly lanes = new Map<string, Entry[]>();
  private order = 0;

  constructor(private readonly now: () => number) {}

  /** As jobsOf in src/lanes/lanes.ts: writes first. */
  put(items: readonly Item[]): void {
    const writes = items.flatMap((item) => ('write' in item ? [item.write] : []));
    if (writes.length > 0) this.lane(MESSAGES).push({ writes, order: this.order++ });
    for (const item of items) {
      if ('change' in item) this.add(item.change, { name: 'changes', data: { changes: [item.change] } });
      if ('drop' in item) this.add(item.drop, { name: 'dropped', data: { drops: [item.drop] } });
    }
    const requests = items.flatMap((item) => ('deliver' in item ? [item.deliver] : []));
    for (const own of byConsumer(requests)) this.behindWrites(own, { name: 'subscribed', data: { requests: own } });
  }

  /** The lane that was added to first, of those with something to do; messages before all others. */
  next(choose: (names: string[]) => string = (names) => this.oldest(names)): { lane: string; entry: Entry } | null {
    const names = [...this.lanes].filter(([, entries]) => entries.length > 0).map(([name]) => name);
    if (names.length === 0) return null;
    const lane = choose(names);
    return { lane, entry: this.lane(lane)[0] as Entry };
  }

  /** It is done. */
  done(lane: string): void {
    const entry = this.lane(lane).shift();
    if (entry !== undefined && 'fence' in entry) this.passed(entry.fence);
  }

  /** The next job that was put off until then, if any, is now in its lane. */
  due(until: number): number | null {
    const next = this.delayed.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
    if (next === undefined) return null;
    this.delayed.splice(this.delayed.indexOf(next), 1);
    // As Gate: behind the writes of then.
    if (next.job.name === 'recheck') this.behindWrites(next.job.data.requests, next.job);
    else this.add(firstOf(next.job), next.job);
    return next.at;
  }

  asLanes(): Lanes {
    const each = <T extends Owned>(items: readonly T[], job: (own: T[]) => Work) => byConsumer(items).forEach((own) => this.add(own[0] as T, job(own)));
    const later = (delay: number, job: Work) => void this.delayed.push({ at: this.now() + delay, job });
    const lanes: Partial<Record<keyof Lanes, unknown>> = {
      recheck: (async (requests, name = 'recheck') => byConsumer(requests).forEach((own) => this.behindWrites(own, { name, data: { requests: own } }))) satisfies Lanes['recheck'],
      recheckLater: (async (requests, delay) => byConsumer(requests).forEach((own) => later(delay, { name: 'recheck', data: { requests: own } }))) satisfies Lanes['recheckLater'],
      resumeLater: (async (windows, delay) => windows.forEach((each) => later(delay, { name: 'resume', data: { windows: [each] } }))) satisfies Lanes['resumeLater'],
      turn: (async (name, requests, gathered = false) => {
        for (const own of byConsumer(requests)) {
          if (gathered || own[0]?.consumer === undefined) this.add(own[0] as Owned, { name, data: { requests: own, turn: true } });
          else this.behind([...this.lanes.keys()].filter((lane) => lane !== MESSAGES), own[0], { name: 'gathered', data: { requests: own, then: name } });
        }
      }) satisfies Lanes['turn'],
      dropped: (async (drops) => each(drops, (own) => ({ name: 'dropped', data: { drops: own } }))) satisfies Lanes['dropped'],
      late: (async (late) => each(late, (own) => ({ name: 'late', data: { late: own } }))) satisfies Lanes['late'],
      forget: (async (positions) => each(positions, (own) => ({ name: 'forget', data: { positions: own } }))) satisfies Lanes['forget'],
      progress: (async (acks) => each(acks, (own) => ({ name: 'progress', data: { acks: own } }))) satisfies Lanes['progress'],
      history: async () => undefined,
    };
    return lanes as unknown as Lanes;
  }

  private add(of: Owned, job: Work): void {
    this.lane(consumerOf(of)).push({ job, order: this.order++ });
  }

  private behindWrites(own: readonly Owned[], job: Work): void {
    this.behind([MESSAGES], own[0] as Owned, job);
  }

  private behind(lanes: readonly string[], of: Owned, job: Work): void {
    const parent = { lane: consumerOf(of), job, children: lanes.length };
    for (const lane of lanes) this.lane(lane).push({ fence: parent, order: this.order++ });
  }

  private passed(parent: Parent): void {
    parent.children--;
    if (parent.children > 0) return;
    const entry = { job: parent.job, order: this.order++ };
    if (this.parentsFirst) this.lane(parent.lane).unshift(entry);
    else this.lane(parent.lane).push(entry);
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

type Owned = Parameters<typeof consumerOf>[0];

function byConsumer<T extends Owned>(items: readonly T[]): T[][] {
  const groups = new Map<string, T[]>();
  for (const item of items) groups.set(consumerOf(item), [...(groups.get(consumerOf(item)) ?? []), item]);
  return [...groups.values()];
}

function firstOf(job: Work): Owned {
  const { data } = job;
  if ('requests' in data) return data.requests[0] as Owned;
  if ('windows' in data) return data.windows[0] as Owned;
  throw new Error(`${job.name} is never put off`);
}
