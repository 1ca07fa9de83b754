import { randomUUID } from 'node:crypto';
import type { QueueBackend } from '../../../src/lanes/backend';
import { Budget } from '../../../src/lanes/batcher';
import type { LaneWork } from '../../../src/lanes/attempts';
import { Consumer } from '../../../src/lanes/consumer';
import type { ClientJob, Item, LaneJob, MailEvent, MessageJob } from '../../../src/lanes/jobs';
import { isMailJob } from '../../../src/lanes/jobs';
import { Lanes } from '../../../src/lanes/lanes';
import { MAX_JOB_BYTES, MAX_JOB_EVENTS, MAX_MAIL_EVENTS } from '../../../src/lanes/new-jobs';
import { clientLane, laneOf, messageLane } from '../../../src/lanes/names';
import { Ownership } from '../../../src/lanes/ownership';
import { splitMessages } from '../../../src/lanes/split';
import { groupBy } from '../../../src/base/parallel';
import { prepared } from '../../support/prepared';
import { waitFor } from '../../support/wait';

/** A database that queues run on. */
export interface Kind {
  readonly name: string;
  /** Several processes may work on it. */
  readonly isShared: boolean;
  /** Removes what is there. */
  empty(): Promise<void>;
  /** The objects that each process opens. */
  open(onError: (error: Error) => void): QueueBackend;
}

export const ack = (topic: string, id: string): Item => ({ write: { kind: 'ack', id, topic, clientid: 'c' } });
/** Something that happens to a mailbox, told apart by `id`. */
export const mail = (to: string, id: string): MailEvent => ({
  to,
  kind: 'dropped',
  clientid: 'c',
  id,
  copyId: id,
  topic: 't',
  reason: 'expired',
});

export const idsOf = (jobs: readonly MessageJob[]): string[] =>
  jobs.flatMap(({ data }) => data.events.map((event) => (event.kind === 'ack' ? event.id : '')));
export const mailOf = (jobs: readonly ClientJob[]): MailEvent[] => jobs.filter(isMailJob).flatMap(({ data }) => [...data.events]);
export const mailIdsOf = (jobs: readonly ClientJob[]): string[] => mailOf(jobs).map((event) => ('id' in event ? event.id : event.kind));

/** Work in which nothing fails by itself. */
export function done<J>(work: (jobs: readonly J[], again: boolean) => unknown): (jobs: readonly J[], again: boolean) => Promise<[]> {
  return async (jobs, again) => {
    await work(jobs, again);
    return [];
  };
}

export function deferred<T = void>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((settle) => (resolve = settle));
  return { promise, resolve };
}

/** Parts of a mail job: the mail of one mailbox. */
const splitMail = (job: ClientJob): ClientJob[] =>
  isMailJob(job)
    ? [...groupBy(job.data.events, ({ to }) => to).values()].map((events) => ({ name: 'mail', data: { ...job.data, events } }))
    : [job];

/** One process with the queue's lanes, and consumers that work as the test says. */
export class QueueWorld {
  /** Of the queue's database. */
  readonly errors: string[] = [];
  readonly retries: string[] = [];
  /** How late the work of each job that was done has ended (ms). */
  readonly lags: number[] = [];
  readonly owner = randomUUID();
  readonly backend: QueueBackend;
  private lanes_: Lanes | null = null;
  private consumers: Pick<Consumer<LaneJob>, 'open' | 'start' | 'close' | 'name' | 'workingSince'>[] = [];

  private constructor(open: (onError: (error: Error) => void) => QueueBackend) {
    this.backend = open((error) => void this.errors.push(error.message));
  }

  static async of(kind: Kind): Promise<QueueWorld> {
    await kind.empty();
    return this.another(kind);
  }

  /** Another process on the queue as it is. */
  static async another(kind: Kind): Promise<QueueWorld> {
    const world = new QueueWorld((onError) => kind.open(onError));
    await prepared(world.backend);
    world.lanes_ = new Lanes(world.backend, new Budget({ items: 1e9, bytes: 1e9 }));
    await world.lanes.prepare();
    return world;
  }

  get lanes(): Lanes {
    if (this.lanes_ === null) throw new Error('it is not prepared');
    return this.lanes_;
  }

  /** The message lane of topic t/1. */
  get messageLane(): string {
    return messageLane(laneOf('t/1', this.backend.laneCounts.messages));
  }

  laneOfMail(to: string): string {
    return clientLane(laneOf(to, this.backend.laneCounts.clients));
  }

  /** Names of mailboxes, `count` for each client lane. */
  mailboxes(count: number): string[][] {
    const { clients } = this.backend.laneCounts;
    const names = Array.from({ length: 50 * count }, (_, i) => `mailbox-${i}`);
    return Array.from({ length: clients }, (_, lane) => names.filter((name) => laneOf(name, clients) === lane).slice(0, count));
  }

  /** Works on the message lanes. */
  async messages(work: Partial<LaneWork<MessageJob>>): Promise<void> {
    const { messages } = this.backend.laneCounts;
    await this.start(
      Array.from({ length: messages }, (_, lane) =>
        this.consumer(messageLane(lane), { split: splitMessages, ...work }, MAX_JOB_EVENTS, null),
      ),
    );
  }

  /** Works on those client lanes that it owns. */
  async clients(workIn: (lane: string) => Partial<LaneWork<ClientJob>>): Promise<void> {
    const { clients } = this.backend.laneCounts;
    const lanes = Array.from({ length: clients }, (_, lane) => clientLane(lane));
    await this.start(
      lanes.map((lane) =>
        this.consumer(lane, { split: splitMail, ...workIn(lane) }, MAX_MAIL_EVENTS, new Ownership(this.backend.state, lane, this.owner)),
      ),
    );
  }

  private consumer<J extends LaneJob>(
    lane: string,
    work: Pick<LaneWork<J>, 'split'> & Partial<LaneWork<J>>,
    maxEvents: number,
    ownership: Ownership | null,
  ): Consumer<J> {
    const postpone = (part: J, delay: number): Promise<void> => this.lanes.again(lane, part, delay);
    const whole: LaneWork<J> = {
      knows: () => true,
      handle: async () => [],
      isAway: async () => false,
      postpone,
      setAside: async () => undefined,
      ...work,
    };
    const onRetry = (_: string, error: Error): void => void this.retries.push(error.message);
    return new Consumer(this.backend.source(lane), whole, {
      maxEvents,
      maxBytes: MAX_JOB_BYTES,
      ownership,
      onDone: (dueAt) => void this.lags.push(Date.now() - dueAt),
      onRetry,
    });
  }

  /** The lanes that have a batch in hand, and for how long (ms). */
  working(): { name: string; ms: number }[] {
    return this.consumers.flatMap(({ name, workingSince: at }) => (at === null ? [] : [{ name, ms: Date.now() - at }]));
  }

  private async start(consumers: QueueWorld['consumers']): Promise<void> {
    this.consumers.push(...consumers);
    await Promise.all(consumers.map((each) => each.open()));
    for (const each of consumers) each.start((error) => this.errors.push(String(error)));
  }

  async stop(): Promise<void> {
    await Promise.all(this.consumers.splice(0).map((each) => each.close()));
  }

  async counts(lane: string): Promise<{ waiting: number; active: number; delayed: number }> {
    return (await this.lanes.counts()).find(({ name }) => name === lane) ?? { waiting: 0, active: 0, delayed: 0 };
  }

  /** Jobs that wait, for their turn or for a time. */
  async total(): Promise<number> {
    return (await this.lanes.counts()).reduce((sum, { waiting, delayed }) => sum + waiting + delayed, 0);
  }

  async empty(): Promise<void> {
    await waitFor('the lanes to be empty', async () => (await this.lanes.counts()).every(({ waiting, active }) => waiting + active === 0));
  }

  async close(): Promise<void> {
    await this.stop();
    await this.lanes.close();
    await this.backend.close();
    expect(this.errors).toEqual([]);
  }
}

/** A queue, made anew for each test of the describe. */
export function eachTest(kind: Kind): { readonly world: QueueWorld; another(): Promise<QueueWorld> } {
  let world: QueueWorld;
  let others: QueueWorld[] = [];
  beforeEach(async () => {
    world = await QueueWorld.of(kind);
  });
  afterEach(async () => {
    for (const each of [...others.splice(0), world]) await each.close();
    others = [];
  });
  return {
    get world() {
      return world;
    },
    async another() {
      const other = await QueueWorld.another(kind);
      others.push(other);
      return other;
    },
  };
}
