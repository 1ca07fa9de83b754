import type { Scheduler } from 'fast-check';
import { groupConsumer } from '../../src/mqtt/consumer';
import { LateWrites, type LateRef } from '../../src/mailbox/positions/late-writes';
import { Positions, type ConsumerPositions } from '../../src/mailbox/positions/positions';
import { MemoryStore } from '../support/memory-store';
import { message } from '../support/messages';
import { policy } from '../support/policies';

const EPOCH = 1_800_000_000_000;
const TOPIC = 't/1';
export const GROUP = groupConsumer('g');
/** As long as a consumer knows what a range took in: who is told later that it was stored late gets it again. ms. */
const TOLD_MS = 1_000;
/** So few acknowledgements are covered: there are few messages. */
const LOOSE = 3;
const FILTERS: Readonly<Record<string, string>> = { c1: TOPIC, c2: 't/#', [GROUP]: 't/+' };

/** EMQX's id of the k-th message: one each 10 ms. */
export function idOf(k: number): string {
  const time = (BigInt(EPOCH + k * 10) * 1000n).toString(16).padStart(16, '0');
  return `${time}F49A0000049C0001`.toUpperCase();
}

/** One try to do a job. */
interface Attempt {
  readonly takenOver: boolean;
  /** The process stands still, and another one has taken the job over. */
  isLost: boolean;
}
type Job = (attempt: Attempt) => Promise<void>;
class Crash extends Error {}
/** Somebody else has saved the mailbox. */
class Conflict extends Error {}

/** A lane: one job at a time. A job is done again when its process died, or when it stood still, and then goes on beside the second attempt. */
class Lane {
  private readonly jobs: Job[] = [];
  private isRunning = false;
  private takeOver: () => void = () => undefined;
  /** The process dies at one of its next steps. */
  crash: 'before' | 'after' | null = null;

  constructor(private readonly onError: (error: unknown) => void) {}

  push(job: Job): void {
    this.jobs.push(job);
    if (!this.isRunning) void this.run();
  }

  stall(): void {
    this.takeOver();
  }

  private async run(): Promise<void> {
    this.isRunning = true;
    for (let job = this.jobs[0]; job !== undefined; job = this.jobs[0]) {
      let takenOver = false;
      while (!(await this.attempt(job, takenOver))) takenOver = true;
      this.jobs.shift();
    }
    this.isRunning = false;
  }

  /** @returns whether the job is done. */
  private async attempt(job: Job, takenOver: boolean): Promise<boolean> {
    const attempt: Attempt = { takenOver, isLost: false };
    const done = job(attempt).then(
      () => true,
      (error: unknown) => {
        if (!(error instanceof Crash || error instanceof Conflict)) this.onError(error);
        return false;
      },
    );
    const lost = new Promise<boolean>((resolve) => (this.takeOver = () => resolve(!(attempt.isLost = true))));
    return Promise.race([done, lost]);
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
  /** Versions of the consumers' mailboxes. */
  private readonly mailboxes = new Map<string, number>();
  /** By consumer: acknowledged, in the order of events. */
  private readonly acked = new Map<string, Set<string>>();
  private readonly accepted = new Set<string>();
  /** Messages that a crash or a slow write may repeat. */
  private readonly repeatable = new Set<string>();

  constructor(
    private readonly scheduler: Scheduler,
    private readonly guards: { readonly late: boolean } = { late: true },
  ) {}

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

  /** In one batch. */
  publish(ks: readonly number[]): void {
    const ids = ks.map(idOf);
    for (const id of ids) this.accepted.add(id);
    this.lane('messages').push(async ({ takenOver }) => {
      const begun = this.clock;
      const repeatable = () => ids.forEach((id) => this.repeatable.add(id));
      if (takenOver) repeatable();
      const store = this.steps('messages');
      const own = ks.map((k) => message({ topic: TOPIC, id: idOf(k), publishReceivedAt: EPOCH + k * 10 }));
      const save = () => store.saveMessages(own);
      const lateWrites = new LateWrites(
        { store, state: this.state('messages'), lanes: { late: (late) => this.tell(late, begun) }, policies: this.policies },
        LOOSE,
      );
      await (this.guards.late ? lateWrites.around(own, takenOver, save) : save());
    });
  }

  private async tell(late: readonly LateRef[], begun: number): Promise<void> {
    await this.step('messages', async () => {
      for (const consumer of new Set(late.map((each) => each.consumer))) {
        const own = late.filter((each) => each.consumer === consumer);
        this.pass(consumer, async (positions) => {
          if (this.clock - begun > TOLD_MS) for (const { id } of own) this.repeatable.add(id);
          await positions.late(own);
        });
      }
    });
  }

  /** In one job of the client's lane. A member's count for its group, in the group's lane. */
  ack(clientid: string, ks: readonly number[]): void {
    const consumer = clientid.startsWith('m') ? GROUP : clientid;
    for (const k of ks) this.ackedBy(consumer).add(idOf(k));
    const filters = consumer === 'c1' ? [] : [FILTERS[consumer] as string];
    const refs = ks.map((k) => ({ topic: TOPIC, id: idOf(k), filters }));
    const read = () => this.pass(consumer, (positions) => positions.read(refs));
    if (consumer === clientid) read();
    else this.lane(clientid).push(() => this.step(clientid, async () => read()));
  }

  /** As a subscription: behind the writes in the message lane, then behind the lanes of all clients, then at the end of its own. */
  subscribe(consumer: string): void {
    const stored = new Set(this.accepted);
    const acked = new Set(this.ackedBy(consumer));
    this.lane('messages').push(async () => {
      const members = ['m1', 'm2'].map((name) => new Promise<void>((resolve) => this.lane(name).push(async () => resolve())));
      void Promise.all(consumer === GROUP ? members : []).then(() => {
        this.pass(consumer, async (positions, attempt) => {
          const delivered = await this.deliver(consumer, positions);
          if (attempt.isLost) return;
          const expected = [...stored].filter((id) => !this.ackedBy(consumer).has(id));
          const lost = expected.filter((id) => !delivered.includes(id));
          const again = delivered.filter((id) => acked.has(id) && !this.repeatable.has(id));
          if (lost.length > 0) this.failures.push(`${consumer} lost ${lost.join()}`);
          if (again.length > 0) this.failures.push(`${consumer} got again ${again.join()}`);
          if ([...delivered].sort().join() !== delivered.join())
            this.failures.push(`${consumer} got in the wrong order ${delivered.join()}`);
        });
      });
    });
  }

  /** What is stored and unread, page by page. */
  private async deliver(consumer: string, positions: ConsumerPositions): Promise<string[]> {
    const filter = FILTERS[consumer] as string;
    await positions.subscribed(filter, this.clock);
    const [set] = await positions.sets([TOPIC], filter === TOPIC ? [] : [filter]);
    if (set === undefined) return [];
    const delivered: string[] = [];
    const store = this.steps(consumer);
    for (let after = set.skip(''), isMore = true; isMore;) {
      const page = await store.listMessages({ topic: TOPIC, after, limit: 3, now: this.clock });
      delivered.push(...page.filter((each) => !set.has(each)).map(({ id }) => id));
      after = set.skip(page.at(-1)?.id ?? after);
      isMore = page.length === 3;
    }
    return delivered;
  }

  /** A pass for one consumer in its lane: its mailbox is saved by compare-and-set, then its positions with the mailbox's version. */
  private pass(consumer: string, work: (positions: ConsumerPositions, attempt: Attempt) => Promise<void>): void {
    this.lane(consumer).push(async (attempt) => {
      const loaded = await this.step(consumer, async () => this.mailboxes.get(consumer) ?? 0);
      const positions = new Positions(
        { store: this.steps(consumer), state: this.state(consumer), policies: this.policies, now: () => this.clock },
        LOOSE,
      ).open(consumer);
      await work(positions, attempt);
      if (!positions.isChanged) return;
      const version = Math.max(loaded, positions.version) + 1;
      await this.step(consumer, async () => {
        if ((this.mailboxes.get(consumer) ?? 0) !== loaded) throw new Conflict();
        this.mailboxes.set(consumer, version);
      });
      await positions.save(version);
    });
  }

  private state(lane: string) {
    return {
      getAll: (keys: readonly string[]) => this.step(lane, async () => new Map([...this.marks].filter(([key]) => keys.includes(key)))),
      raise: (entries: readonly { key: string; value: string }[]) =>
        this.step(lane, async () => {
          for (const { key, value } of entries) if (value > (this.marks.get(key) ?? '')) this.marks.set(key, value);
        }),
    };
  }

  /** The store with a step before each call. */
  private steps(lane: string): MemoryStore {
    return new Proxy(this.store, {
      get: (target, name: keyof MemoryStore) => {
        const method = target[name] as unknown;
        return typeof method === 'function'
          ? (...args: unknown[]) => this.step(lane, () => (method as (...all: unknown[]) => Promise<unknown>).apply(target, args))
          : method;
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
