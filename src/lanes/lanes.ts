import { within } from '../base/deadline';
import { errorText, UnavailableError } from '../base/errors';
import { toWire, type Message } from '../mqtt/message';
import { groupBy } from '../base/parallel';
import { mailboxKey } from '../mqtt/consumer';
import type { JobQueue, QueueBackend } from './backend';
import { Batcher, type Budget } from './batcher';
import type { Item, LaneJob, Late, MailEvent, MailJob, MessageEvent, RestoreStep, RetainedJob } from './jobs';
import { clientLane, historyLane, laneOf, messageLane, type LaneCounts } from './names';

/** The limits of one add, which collects what arrives during the add before it. */
const MAX_ADD_ITEMS = 4_096;
const MAX_ADD_BYTES = 8 * 1024 * 1024;
/** The limit of one job. A lane's consumer handles several small jobs at once. */
export const MAX_JOB_EVENTS = 256;
/** This limit is higher, because events of mailboxes are small. */
export const MAX_MAIL_EVENTS = 512;
export const MAX_JOB_BYTES = 4 * 1024 * 1024;
/**
 * An add that takes longer than this (ms) counts as failed. EMQX sends the event again, and an event that is handled twice has the effect
 * of once.
 */
const ADD_TIMEOUT_MS = 10_000;
/** How long a request waits at most (ms), because one add may have to wait for another. EMQX gives up after 10 s. */
const PATIENCE_MS = 8_500;
const tooLate = () => new UnavailableError("the queue's database has not stored the events in time");
/** All restore jobs use one lane, so that two never run at the same time. */
const RETAINED_LANE = clientLane(0);
/** The size of a message's fields besides its payload, as JSON. */
const OVERHEAD_BYTES = 500;

/**
 * Puts events and jobs into the queue. Every method resolves when the queue has stored them durably (promise 1).
 * @throws UnavailableError or OverloadedError
 */
export class Lanes {
  private readonly messages: JobQueue[];
  private readonly clients: JobQueue[];
  private readonly histories: JobQueue[];
  private readonly queues: ReadonlyMap<string, JobQueue>;
  private readonly laneCounts: LaneCounts;
  private readonly incoming: Batcher<Item>;

  /** @param sinks the names of the histories. */
  constructor(backend: QueueBackend, budget: Budget, sinks: readonly string[] = []) {
    this.laneCounts = backend.laneCounts;
    this.messages = Array.from({ length: this.laneCounts.messages }, (_, lane) => backend.queue(messageLane(lane)));
    this.clients = Array.from({ length: this.laneCounts.clients }, (_, lane) => backend.queue(clientLane(lane)));
    this.histories = sinks.map((sink) => backend.queue(historyLane(sink)));
    this.queues = new Map(this.all().map((queue) => [queue.name, queue]));
    const flush = (items: Item[]) => this.flush(items);
    this.incoming = new Batcher({
      flush,
      maxItems: MAX_ADD_ITEMS,
      maxBytes: MAX_ADD_BYTES,
      budget,
      patienceMs: PATIENCE_MS,
      late: tooLate,
    });
  }

  /**
   * A history keeps its order, so it never runs two jobs at a time, in whatever process. Writes to the store have the same effect in any
   * order, and a client lane belongs to one process at a time (ownership.ts), so those limits of earlier versions are removed.
   */
  async prepare(): Promise<void> {
    await Promise.all([
      ...[...this.messages, ...this.clients].map((queue) => queue.removeGlobalConcurrency()),
      ...this.histories.map((queue) => queue.setGlobalConcurrency(1)),
    ]);
  }

  /**
   * Accepts all items or none. A delivery starts when everything that was accepted before it, in each lane that its filter can match, is in
   * the store (promise 4).
   */
  async put(items: readonly Item[]): Promise<void> {
    if (items.length > 0)
      await this.incoming.add(
        items,
        items.reduce((sum, item) => sum + sizeOf(item), 0),
      );
  }

  /** Puts events that mailboxes send each other into the queue. */
  mail(events: readonly MailEvent[]): Promise<void> {
    return this.add(mailJobs(events, this.laneCounts));
  }

  /** Puts messages into the queue that were stored after a consumer's read position had passed them (promise 17). */
  late(late: readonly Omit<Late, 'kind'>[]): Promise<void> {
    return this.mail(late.map((each) => ({ ...each, kind: 'late', to: mailboxKey(each.consumer) })));
  }

  /** Wakes mailboxes, each at its time (ms, the server's clock). Mailboxes of a lane that are due at about the same time share one job. */
  wake(due: readonly Due[], now: number): Promise<void> {
    const byDelay = groupBy(due, ({ at }) => String(roundedDelay(at - now)));
    const jobs = [...byDelay].flatMap(([delay, own]) => {
      const wakes = own.map(({ to }): MailEvent => ({ to, kind: 'wake' }));
      return mailJobs(wakes, this.laneCounts).map((job) => ({ ...job, delayMs: Number(delay) }));
    });
    return this.add(jobs);
  }

  /** Publishes retained messages back after `delayMs`, and after all writes that were accepted before. */
  restore(step: RestoreStep, delayMs = 0): Promise<void> {
    return this.add([{ lane: RETAINED_LANE, name: 'restore', data: step, delayMs }]);
  }

  reconcile(topics: readonly string[]): Promise<void> {
    return this.add([{ lane: RETAINED_LANE, name: 'reconcile', data: { topics } }]);
  }

  /** Puts the job into the queue again. After `delayMs` it checks again whether it may be done (gate.ts). */
  park(lane: string, job: RetainedJob, delayMs: number): Promise<void> {
    return this.add([{ lane, ...job, delayMs }]);
  }

  /** Tries a failed part of a job again by itself after `delayMs`. */
  again(lane: string, { name, data }: LaneJob, delayMs: number): Promise<void> {
    return this.add([{ lane, name, data, delayMs }]);
  }

  /** Adds the messages to every history. */
  async history(messages: readonly Message[]): Promise<void> {
    if (this.histories.length > 0 && messages.length > 0) await this.add(this.histories.map(({ name }) => historyJob(name, messages)));
  }

  /**
   * Adds the messages to one history.
   * @returns false if there is no history of this name.
   */
  async historyOf(sink: string, messages: readonly Message[]): Promise<boolean> {
    const name = historyLane(sink);
    if (!this.histories.some((queue) => queue.name === name)) return false;
    await this.add([historyJob(name, messages)]);
    return true;
  }

  private all(): JobQueue[] {
    return [...this.messages, ...this.clients, ...this.histories];
  }

  /** The writes are added first, because a delivery must come after the writes of the same request. */
  private async flush(items: readonly Item[]): Promise<void> {
    await this.add(
      writeJobs(
        items.flatMap((item) => ('write' in item ? [item.write] : [])),
        this.laneCounts,
      ),
    );
    await this.mail(items.flatMap((item) => ('mail' in item ? [item.mail] : [])));
  }

  /** Each lane takes one round trip; all are made in parallel. */
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

  /** Flushes the items that are in memory. */
  async close(): Promise<void> {
    await this.incoming.settled();
    await Promise.all(this.all().map((queue) => queue.close()));
  }
}

/** A mailbox, and when it is to be woken (ms, the server's clock). */
export interface Due {
  readonly to: string;
  readonly at: number;
}

/** Rounds delays, so that wakes that are due at about the same time share a job. */
function roundedDelay(delayMs: number): number {
  const step = delayMs <= 100 ? 10 : delayMs <= 2_000 ? 50 : 250;
  return Math.max(0, Math.ceil(delayMs / step) * step);
}

/** Makes one job for each lane, or several if one would be too large. */
function writeJobs(events: readonly MessageEvent[], counts: LaneCounts): NewJob[] {
  const jobs: NewJob[] = [];
  const fillings = new Map<number, Filling>();
  for (const event of events) fill(jobs, fillings, laneOf(topicOf(event), counts.messages), event, sizeOf({ write: event }));
  for (const [lane, filling] of fillings) jobs.push(writeJob(lane, filling));
  return jobs;
}

function mailJobs(events: readonly MailEvent[], counts: LaneCounts): NewJob[] {
  const byLane = groupBy(events, ({ to }) => clientLane(laneOf(to, counts.clients)));
  return [...byLane].flatMap(([lane, own]) => {
    const parts = Array.from({ length: Math.ceil(own.length / MAX_MAIL_EVENTS) }, (_, i) =>
      own.slice(i * MAX_MAIL_EVENTS, (i + 1) * MAX_MAIL_EVENTS),
    );
    return parts.map((part) => ({ lane, name: 'mail' satisfies MailJob['name'], data: { events: part } satisfies MailJob['data'] }));
  });
}

/** If `delayMs` is 0 or absent, the job may run at once. */
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

/** Adds the event to its lane's next job. A full job goes to `jobs`. */
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
const historyJob = (lane: string, messages: readonly Message[]): NewJob => ({
  lane,
  name: 'history',
  data: { events: messages.map(toWire) },
});

function topicOf(event: MessageEvent): string {
  return event.kind === 'publish' ? event.message.topic : event.topic;
}

/** About how much memory an item takes, also in its job. */
function sizeOf(item: Item): number {
  if ('write' in item && item.write.kind === 'publish') return OVERHEAD_BYTES + item.write.message.payload.length;
  // An operator may assign thousands of subscriptions.
  if ('mail' in item && item.mail.kind === 'change' && item.mail.change.kind === 'assigned')
    return OVERHEAD_BYTES * (1 + item.mail.change.subscriptions.length);
  return OVERHEAD_BYTES;
}

/** A single job is added without a pipeline, because ioredis takes long to make one. */
async function addTo(queue: JobQueue | undefined, jobs: readonly NewJob[]): Promise<unknown> {
  const [first, ...others] = jobs.map(toBullmq);
  if (queue === undefined || first === undefined) throw new TypeError('there is no such lane');
  return others.length === 0 ? queue.add(first.name, first.data, first.opts) : queue.addBulk([first, ...others]);
}

function toBullmq({ name, data, delayMs = 0 }: NewJob): Parameters<JobQueue['addBulk']>[0][number] {
  return { name, data, opts: { removeOnComplete: true, ...(delayMs > 0 && { delay: delayMs }) } };
}
