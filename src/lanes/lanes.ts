import { within } from '../base/deadline';
import { errorText, UnavailableError } from '../base/errors';
import { toWire, type Message } from '../mqtt/message';
import { groupBy } from '../base/parallel';
import { consumerOf } from '../mqtt/consumer';
import type { JobQueue, QueueBackend } from './backend';
import { Batcher, type Budget } from './batcher';
import {
  type ClientChange,
  type ClientDrop,
  type ClientEvents,
  type ClientJob,
  type DeliveryRequest,
  type GatedJob,
  type Item,
  type LaneJob,
  type Late,
  type MessageEvent,
  type Progress,
  type RestoreStep,
  type Resume,
} from './jobs';
import { clientLane, historyLane, laneOf, messageLane, type LaneCounts } from './names';

/** One add: what arrives while the one before it is under way. */
const MAX_ADD_ITEMS = 4_096;
const MAX_ADD_BYTES = 8 * 1024 * 1024;
/** One job. A lane's consumer does several at once when they are small. */
export const MAX_JOB_EVENTS = 256;
export const MAX_JOB_BYTES = 4 * 1024 * 1024;
/** An add that takes longer counts as failed; EMQX sends the event again, and what is done twice has the effect of once. */
const ADD_TIMEOUT_MS = 10_000;
/** Whoever posts must not wait for longer: one add may have to wait for another one before it. EMQX gives up after 10 s. */
const PATIENCE_MS = 8_500;
const tooLate = () => new UnavailableError('the queue has not taken it in time');
/** One for all: restoring never runs twice at a time. */
const RETAINED_LANE = clientLane(0);
/** A message's fields beside its payload, as JSON. */
const OVERHEAD_BYTES = 500;

/**
 * The way into the queue. Every method resolves when the queue has it durably (promise 1) and throws UnavailableError or
 * OverloadedError otherwise.
 */
export class Lanes {
  private readonly messages: JobQueue[];
  private readonly clients: JobQueue[];
  private readonly histories: JobQueue[];
  private readonly queues: ReadonlyMap<string, JobQueue>;
  private readonly laneCounts: LaneCounts;
  private readonly incoming: Batcher<Item>;

  /** `sinks`: the names of the histories. */
  constructor(backend: QueueBackend, budget: Budget, sinks: readonly string[] = []) {
    this.laneCounts = backend.laneCounts;
    this.messages = Array.from({ length: this.laneCounts.messages }, (_, lane) => backend.queue(messageLane(lane)));
    this.clients = Array.from({ length: this.laneCounts.clients }, (_, lane) => backend.queue(clientLane(lane)));
    this.histories = sinks.map((sink) => backend.queue(historyLane(sink)));
    this.queues = new Map(this.all().map((queue) => [queue.name, queue]));
    const flush = (items: Item[]) => this.flush(items);
    this.incoming = new Batcher({ flush, maxItems: MAX_ADD_ITEMS, maxBytes: MAX_ADD_BYTES, budget, patienceMs: PATIENCE_MS, late: tooLate });
  }

  /**
   * A client lane never runs two jobs at a time, in whatever process: that keeps the order of a client. A history keeps its order, too. What is
   * written to the store has the same effect in any order, so that all processes work on the message lanes; an earlier version had it otherwise.
   */
  async prepare(): Promise<void> {
    await Promise.all([
      ...this.messages.map((queue) => queue.removeGlobalConcurrency()),
      ...[...this.clients, ...this.histories].map((queue) => queue.setGlobalConcurrency(1)),
    ]);
  }

  /** All of them or none is taken. A delivery starts when all that was accepted before it, in every lane that its filter can match, is in the store (promise 4). */
  async put(items: readonly Item[]): Promise<void> {
    if (items.length > 0) await this.incoming.add(items, items.reduce((sum, item) => sum + sizeOf(item), 0));
  }

  /**
   * Looks again after `delayMs`: for what was published before the subscription and arrives after it (promise 5), and for
   * deliveries that nobody acknowledged. Behind the writes of then.
   */
  recheckLater(requests: readonly DeliveryRequest[], delayMs: number): Promise<void> {
    return this.toClients(requests, (own) => ({ name: 'recheck', data: { requests: own } }), delayMs);
  }

  /** Goes on with the consumers' windows after `delayMs`. */
  resumeLater(windows: readonly Resume[], delayMs: number): Promise<void> {
    return this.toClients(windows, (own) => ({ name: 'resume', data: { windows: own } }), delayMs);
  }

  /** Behind the writes of now. */
  recheck(requests: readonly DeliveryRequest[], name: 'subscribed' | 'recheck' = 'recheck'): Promise<void> {
    return this.toClients(requests, (own) => ({ name, data: { requests: own } }));
  }

  /**
   * Read positions (pubsub mode) are known only behind what is in the client lane already, so a delivery goes to its end once more; that of a group
   * behind what its members have in their own lanes.
   */
  async turn(name: 'subscribed' | 'recheck', requests: readonly DeliveryRequest[], gathered = false): Promise<void> {
    const groups = gathered ? [] : requests.filter(({ consumer }) => consumer !== undefined);
    const ready = requests.filter((request) => !groups.includes(request));
    await this.add([
      ...byClientLane(ready, this.laneCounts, (own): ClientJob => ({ name, data: { requests: own, turn: true } })),
      ...byClientLane(groups, this.laneCounts, (own): ClientJob => ({ name: 'gathered', data: { requests: own, then: name } })),
    ]);
  }

  late(late: readonly Late[]): Promise<void> {
    return this.toClients(late, (own) => ({ name: 'late', data: { late: own } }));
  }

  /** Behind what is in the lane now. */
  forget(positions: readonly Omit<Late, 'id'>[]): Promise<void> {
    return this.toClients(positions, (own) => ({ name: 'forget', data: { positions: own } }));
  }

  dropped(drops: readonly ClientDrop[]): Promise<void> {
    return this.toClients(drops, (own) => ({ name: 'dropped', data: { drops: own } }));
  }

  progress(acks: readonly Progress[]): Promise<void> {
    return this.toClients(acks, (own) => ({ name: 'progress', data: { acks: own } }));
  }

  /** Publishes retained messages back after `delayMs`, behind all writes that were accepted before. */
  restore(step: RestoreStep, delayMs = 0): Promise<void> {
    return this.add([{ lane: RETAINED_LANE, name: 'restore', data: step, delayMs }]);
  }

  reconcile(topics: readonly string[]): Promise<void> {
    return this.add([{ lane: RETAINED_LANE, name: 'reconcile', data: { topics } }]);
  }

  /** The job looks again after `delayMs` whether it may be done (gate.ts). */
  park(lane: string, job: GatedJob, delayMs: number): Promise<void> {
    return this.add([{ lane, ...job, delayMs }]);
  }

  /** A part of a job that failed is tried again by itself. */
  again(lane: string, { name, data }: LaneJob, delayMs: number): Promise<void> {
    return this.add([{ lane, name, data, delayMs }]);
  }

  /** To every history. */
  async history(messages: readonly Message[]): Promise<void> {
    if (this.histories.length > 0 && messages.length > 0) await this.add(this.histories.map(({ name }) => historyJob(name, messages)));
  }

  /** To one history. @returns false when there is none of this name. */
  async historyOf(sink: string, messages: readonly Message[]): Promise<boolean> {
    const name = historyLane(sink);
    if (!this.histories.some((queue) => queue.name === name)) return false;
    await this.add([historyJob(name, messages)]);
    return true;
  }

  get clientLanes(): string[] {
    return this.clients.map(({ name }) => name);
  }

  private all(): JobQueue[] {
    return [...this.messages, ...this.clients, ...this.histories];
  }

  private toClients<T extends Owned>(items: readonly T[], jobOf: (own: T[]) => ClientJob, delayMs?: number): Promise<void> {
    return this.add(byClientLane(items, this.laneCounts, jobOf, delayMs));
  }

  /** The writes first: deliveries are behind the writes that came with them. */
  private async flush(items: readonly Item[]): Promise<void> {
    const { writes, others } = jobsOf(items, this.laneCounts);
    await this.add(writes);
    await this.add(others);
  }

  /** The round trips for the lanes are under way at the same time. */
  private async add(jobs: readonly NewJob[]): Promise<void> {
    if (jobs.length === 0) return;
    const added = Promise.all([...groupBy(jobs, ({ lane }) => lane)].map(([lane, own]) => addTo(this.queues.get(lane), own)));
    try {
      await within<unknown>(ADD_TIMEOUT_MS, added, () => new Error(`no answer within ${ADD_TIMEOUT_MS / 1_000} s`));
    } catch (error) {
      throw new UnavailableError(`the queue cannot be written: ${errorText(error)}`);
    }
  }

  async counts(): Promise<{ name: string; waiting: number; active: number; delayed: number }[]> {
    return Promise.all(
      this.all().map(async (queue) => {
        const counts = await queue.getJobCounts('waiting', 'active', 'delayed');
        return { name: queue.name, waiting: counts['waiting'] ?? 0, active: counts['active'] ?? 0, delayed: counts['delayed'] ?? 0 };
      }),
    );
  }

  /** Flushes what is in memory. */
  async close(): Promise<void> {
    await this.incoming.settled();
    await Promise.all(this.all().map((queue) => queue.close()));
  }
}

/** One job for each lane, or several where they would be too large. */
function jobsOf(items: readonly Item[], counts: LaneCounts): { writes: NewJob[]; others: NewJob[] } {
  const fillings = new Map<number, Filling>();
  const clients = new Map<number, { changes: ClientChange[]; drops: ClientDrop[]; requests: DeliveryRequest[] }>();
  const writes: NewJob[] = [];
  const ofClient = (owner: Owned) => {
    const lane = laneOf(consumerOf(owner), counts.clients);
    return clients.get(lane) ?? clients.set(lane, { changes: [], drops: [], requests: [] }).get(lane)!;
  };
  for (const item of items) {
    if ('write' in item) fill(writes, fillings, laneOf(topicOf(item.write), counts.messages), item.write, sizeOf(item));
    else if ('deliver' in item) ofClient(item.deliver).requests.push(item.deliver);
    else if ('change' in item) ofClient(item.change).changes.push(item.change);
    else ofClient(item.drop).drops.push(item.drop);
  }
  for (const [lane, filling] of fillings) writes.push(writeJob(lane, filling));
  const others = [...clients].map(([lane, data]) => ({ lane: clientLane(lane), name: 'clients', data: data satisfies ClientEvents }));
  return { writes, others };
}

/** `delayMs` 0 or absent: at once. */
interface NewJob {
  readonly lane: string;
  readonly name: string;
  readonly data: object;
  readonly delayMs?: number;
}

interface Filling {
  events: MessageEvent[];
  bytes: number;
}

/** Adds the event to its lane's next job, and that job to the jobs when it is full. */
function fill(jobs: NewJob[], fillings: Map<number, Filling>, lane: number, event: MessageEvent, bytes: number): void {
  let filling = fillings.get(lane);
  if (filling !== undefined && (filling.events.length >= MAX_JOB_EVENTS || filling.bytes + bytes > MAX_JOB_BYTES)) {
    jobs.push(writeJob(lane, filling));
    filling = undefined;
  }
  if (filling === undefined) fillings.set(lane, (filling = { events: [], bytes: 0 }));
  filling.events.push(event);
  filling.bytes += bytes;
}

const writeJob = (lane: number, filling: Filling): NewJob => ({ lane: messageLane(lane), name: 'events', data: filling });
const historyJob = (lane: string, messages: readonly Message[]): NewJob => ({ lane, name: 'history', data: { events: messages.map(toWire) } });

function topicOf(event: MessageEvent): string {
  return event.kind === 'publish' ? event.message.topic : event.topic;
}

/** About what an item takes in memory and in its job. */
function sizeOf(item: Item): number {
  if ('write' in item && item.write.kind === 'publish') return OVERHEAD_BYTES + item.write.message.payload.length;
  // An operator may assign thousands of subscriptions.
  if ('change' in item && item.change.kind === 'assigned') return OVERHEAD_BYTES * (1 + item.change.subscriptions.length);
  return OVERHEAD_BYTES;
}

/** BullMQ adds several jobs in a pipeline, which ioredis takes long to make: a single job does without. */
async function addTo(queue: JobQueue | undefined, jobs: readonly NewJob[]): Promise<unknown> {
  const [first, ...others] = jobs.map(toBullmq);
  if (queue === undefined || first === undefined) throw new TypeError('there is no such lane');
  return others.length === 0 ? queue.add(first.name, first.data, first.opts) : queue.addBulk([first, ...others]);
}

function toBullmq({ name, data, delayMs = 0 }: NewJob): Parameters<JobQueue['addBulk']>[0][number] {
  return { name, data, opts: { removeOnComplete: true, ...(delayMs > 0 && { delay: delayMs }) } };
}

type Owned = Parameters<typeof consumerOf>[0];

/** By the consumer, which is the client itself but for groups in pubsub mode. */
function byClientLane<T extends Owned>(items: readonly T[], counts: LaneCounts, jobOf: (own: T[]) => ClientJob, delayMs?: number): NewJob[] {
  const groups = groupBy(items, (item) => clientLane(laneOf(consumerOf(item), counts.clients)));
  return [...groups].map(([lane, own]) => ({ lane, ...jobOf(own), ...(delayMs !== undefined && { delayMs }) }));
}
