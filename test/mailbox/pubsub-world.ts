import type { Scheduler } from 'fast-check';
import { clientConsumer, groupConsumer } from '../../src/mqtt/consumer';
import { LateWrites } from '../../src/mailbox/positions/late-writes';
import { Positions } from '../../src/mailbox/positions/positions';
import { RunReader } from '../../src/mailbox/deliver/reader';
import { Reading } from '../../src/mailbox/positions/reading';
import { ANNOUNCED_MS } from '../../src/mailbox/times';
import type { Run } from '../../src/mailbox/deliver/window';
import type { Late, Progress } from '../../src/lanes/jobs';
import { MemoryStore } from '../support/memory-store';
import { message } from '../support/messages';
import { policy } from '../support/policies';

const EPOCH = 1_800_000_000_000;
export const TOPIC = 't/1';
export const GROUP = groupConsumer('g');

/** EMQX's id of the k-th message: one each 10 ms. */
export function idOf(k: number): string {
  const time = (BigInt(EPOCH + k * 10) * 1000n).toString(16).padStart(16, '0');
  return `${time}F49A0000049C0001`.toUpperCase();
}

type Job = (takenOver: boolean) => Promise<void>;
class Crash extends Error {}

/** A lane: one job at a time, a job whose process died again. */
class Lane {
  private readonly jobs: Job[] = [];
  private isRunning = false;
  /** The process dies at one of its next steps. */
  crash: 'before' | 'after' | null = null;

  constructor(private readonly onError: (error: unknown) => void) {}

  push(job: Job): void {
    this.jobs.push(job);
    if (!this.isRunning) void this.run().catch(this.onError);
  }

  private async run(): Promise<void> {
    this.isRunning = true;
    for (let job = this.jobs[0]; job !== undefined; job = this.jobs[0]) {
      for (let takenOver = false; ; takenOver = true) {
        try {
          await job(takenOver);
          break;
        } catch (error) {
          if (!(error instanceof Crash)) throw error;
        }
      }
      this.jobs.shift();
    }
    this.isRunning = false;
  }
}

/**
 * One topic with its message lane, and a lane for each consumer: the real position logic on a store in memory, each of whose steps waits
 * for the scheduler, so that lanes interleave in every way.
 */
export class PubsubWorld {
  readonly store = new MemoryStore();
  readonly failures: string[] = [];
  private readonly marks = new Map<string, string>();
  private readonly lanes = new Map<string, Lane>();
  private readonly policies = [policy({ mode: 'pubsub' })];
  private clock = EPOCH;
  /** By consumer: acknowledged, in the order of events. */
  private readonly acked = new Map<string, Set<string>>();
  private readonly accepted = new Set<string>();
  /** Messages that a crash or a slow write may repeat. */
  private readonly repeatable = new Set<string>();

  constructor(
    private readonly scheduler: Scheduler,
    private readonly guards: { readonly late: boolean } = { late: true },
  ) {
    this.store.subscriptions.push({ clientid: 'm1', topic: '$share/g/t/+', qos: 1 }, { clientid: 'm2', topic: '$share/g/t/+', qos: 1 });
    this.store.subscriptions.push({ clientid: 'c2', topic: 't/#', qos: 1 });
  }

  lane(name: string): Lane {
    const lane = this.lanes.get(name) ?? new Lane((error) => this.failures.push(String(error)));
    this.lanes.set(name, lane);
    return lane;
  }

  tick(ms: number): void {
    this.clock += ms;
  }

  crash(name: string, when: 'before' | 'after'): void {
    this.lane(name).crash = when;
  }

  publish(k: number): void {
    const id = idOf(k);
    this.accepted.add(id);
    this.lane('messages').push(async (takenOver) => {
      const begun = this.clock;
      if (takenOver) this.repeatable.add(id);
      const store = this.steps('messages', this.store);
      const lateWrites = new LateWrites({ ...this.deps('messages'), store });
      const own = [message({ topic: TOPIC, id, publishReceivedAt: EPOCH + k * 10 })];
      const save = () => store.saveMessages(own);
      await (this.guards.late ? lateWrites.around(own, takenOver, save) : save());
      if (this.clock - begun > ANNOUNCED_MS / 2) this.repeatable.add(id);
    });
  }

  /** `consumer` is the client itself or, of members, the group. */
  ack(clientid: string, k: number): void {
    const consumer = clientid.startsWith('m') ? GROUP : clientConsumer(clientid);
    this.ackedBy(consumer).add(idOf(k));
    this.lane('messages').push(async () => {
      await this.step('messages', async () => this.progress([{ clientid, id: idOf(k), topic: TOPIC, ours: false }]));
    });
  }

  /** As a subscription: behind the writes in the message lane, then behind the lanes of all clients, then at the end of its own. */
  subscribe(consumer: string): void {
    const stored = new Set(this.accepted);
    const acked = new Set(this.ackedBy(consumer));
    this.lane('messages').push(async () => {
      const members = ['m1', 'm2'].map((name) => new Promise<void>((resolve) => this.lane(name).push(async () => resolve())));
      void Promise.all(consumer === GROUP ? members : []).then(() => {
        this.lane(consumer).push(async () => {
          const delivered = await this.deliver(consumer);
          const expected = [...stored].filter((id) => !this.ackedBy(consumer).has(id));
          const lost = expected.filter((id) => !delivered.includes(id));
          const again = delivered.filter((id) => acked.has(id) && !this.repeatable.has(id));
          if (lost.length > 0) this.failures.push(`${consumer} lost ${lost.join()}`);
          if (again.length > 0) this.failures.push(`${consumer} got again ${again.join()}`);
          if ([...delivered].sort().join() !== delivered.join()) this.failures.push(`${consumer} got in the wrong order ${delivered.join()}`);
        });
      });
    });
  }

  private async deliver(consumer: string): Promise<string[]> {
    const positions = this.positions(consumer);
    const filter = consumer === GROUP ? '$share/g/t/+' : consumer === 'c2' ? 't/#' : TOPIC;
    const start: Run = { clientid: consumer, filter, consumer, qos: 1, at: EPOCH * 2, topic: '', id: '', sent: 0, window: 1, leaveRetained: false };
    const reader = new RunReader(this.steps(consumer, this.store), this.policies, { idOf: async () => null }, { consumer, positions });
    const delivered: string[] = [];
    for (let page = await reader.next(start, () => 3, this.clock); page !== null && page !== 'full'; page = await reader.next(page.run, () => 3, this.clock)) {
      delivered.push(...page.messages.map(({ id }) => id));
    }
    return delivered;
  }

  private progress(acks: readonly Progress[]): void {
    for (const ack of acks) {
      const lane = ack.consumer ?? ack.clientid;
      this.lane(lane).push(() => this.reading(lane).handle({ name: 'progress', data: { acks: [ack] } }));
    }
  }

  private reading(lane: string): Reading {
    const { state, policies, now } = this.deps(lane);
    const lanes = { progress: (acks: readonly Progress[]) => this.step(lane, async () => this.progress(acks)) };
    return new Reading({ acks: { settled: async () => undefined }, positions: this.positions(lane), store: this.steps(lane, this.store), state, lanes, policies, now });
  }

  private positions(lane: string): Positions {
    return new Positions({ ...this.deps(lane), store: this.steps(lane, this.store) }, 3);
  }

  private deps(lane: string) {
    return {
      state: {
        get: (key: string) => this.step(lane, async () => this.marks.get(key) ?? null),
        raise: (entries: readonly { key: string; value: string }[]) =>
          this.step(lane, async () => {
            for (const { key, value } of entries) if (value > (this.marks.get(key) ?? '')) this.marks.set(key, value);
          }),
      },
      lanes: {
        late: (late: readonly Late[]) =>
          this.step(lane, async () => {
            for (const each of late) this.lane(each.consumer).push(() => this.reading(each.consumer).handle({ name: 'late', data: { late: [each] } }));
          }),
        forget: (positions: readonly Omit<Late, 'id'>[]) =>
          this.step(lane, async () => this.lane(lane).push(() => this.reading(lane).handle({ name: 'forget', data: { positions } }))),
      },
      policies: this.policies,
      now: () => this.clock,
    };
  }

  /** The store with a step before each call. */
  private steps(lane: string, store: MemoryStore): MemoryStore {
    return new Proxy(store, {
      get: (target, name: keyof MemoryStore) => {
        const method = target[name] as unknown;
        return typeof method === 'function' ? (...args: unknown[]) => this.step(lane, () => (method as (...all: unknown[]) => Promise<unknown>).apply(target, args)) : method;
      },
    });
  }

  private async step<T>(name: string, work: () => Promise<T>): Promise<T> {
    await this.scheduler.schedule(Promise.resolve());
    const lane = this.lane(name);
    const { crash } = lane;
    lane.crash = null;
    if (crash === 'before') throw new Crash();
    const result = await work();
    if (crash === 'after') throw new Crash();
    return result;
  }

  private ackedBy(consumer: string): Set<string> {
    const acked = this.acked.get(consumer) ?? new Set<string>();
    this.acked.set(consumer, acked);
    return acked;
  }
}
