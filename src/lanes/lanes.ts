import { within } from '../base/deadline';
import { errorText, UnavailableError } from '../base/errors';
import type { Message } from '../mqtt/message';
import { groupBy } from '../base/parallel';
import { mailboxKey } from '../mqtt/consumer';
import type { JobQueue, QueueBackend } from './backend';
import { Batcher, type Budget } from './batcher';
import type { Item, LaneJob, Late, MailEvent, MessageEvent, RestoreStep, RetainedJob } from './jobs';
import { clientLane, historyLane, messageLane, type LaneCounts } from './names';
import { historyJobs, mailJobs, toBullmq, writeJobs, type NewJob } from './new-jobs';
import { sizedMail, sizedWrite, sizeOf, type Sized } from './sizes';

/** The limits of one add, which collects what arrives during the add before it. */
const MAX_ADD_ITEMS = 4_096;
const MAX_ADD_BYTES = 8 * 1024 * 1024;
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
  private readonly incoming: Batcher<Sized<LaneEvent>>;

  /** @param sinks the names of the histories. */
  constructor(backend: QueueBackend, budget: Budget, sinks: readonly string[] = []) {
    this.laneCounts = backend.laneCounts;
    this.messages = Array.from({ length: this.laneCounts.messages }, (_, lane) => backend.queue(messageLane(lane)));
    this.clients = Array.from({ length: this.laneCounts.clients }, (_, lane) => backend.queue(clientLane(lane)));
    this.histories = sinks.map((sink) => backend.queue(historyLane(sink)));
    this.queues = new Map(this.all().map((queue) => [queue.name, queue]));
    this.incoming = new Batcher({
      flush: (events) => this.flush(events),
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
    const events = items.map(sized);
    if (events.length > 0) await this.incoming.add(events, sizeOf(events));
  }

  /** Puts events that mailboxes send each other into the queue. */
  mail(events: readonly MailEvent[]): Promise<void> {
    return this.add(mailJobs(events.map(sizedMail), this.laneCounts));
  }

  /** Puts messages into the queue that were stored after a consumer's read position had passed them (promise 17). */
  late(late: readonly Omit<Late, 'kind'>[]): Promise<void> {
    return this.mail(late.map((each) => ({ ...each, kind: 'late', to: mailboxKey(each.consumer) })));
  }

  /** Wakes mailboxes, each at its time (ms, the server's clock). Mailboxes of a lane that are due at about the same time share one job. */
  wake(due: readonly Due[], now: number): Promise<void> {
    const byDelay = groupBy(due, ({ at }) => String(roundedDelay(at - now)));
    const jobs = [...byDelay].flatMap(([delay, own]) => {
      const wakes = own.map(({ to }) => sizedMail({ to, kind: 'wake' }));
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
    if (this.histories.length > 0 && messages.length > 0) await this.add(this.histories.flatMap(({ name }) => historyJobs(name, messages)));
  }

  /**
   * Adds the messages to one history.
   * @returns false if there is no history of this name.
   */
  async historyOf(sink: string, messages: readonly Message[]): Promise<boolean> {
    const name = historyLane(sink);
    if (!this.histories.some((queue) => queue.name === name)) return false;
    await this.add(historyJobs(name, messages));
    return true;
  }

  private all(): JobQueue[] {
    return [...this.messages, ...this.clients, ...this.histories];
  }

  /** The writes are added first, because a delivery must come after the writes of the same request. */
  private async flush(events: readonly Sized<LaneEvent>[]): Promise<void> {
    await this.add(writeJobs(events.filter(isWrite), this.laneCounts));
    await this.add(mailJobs(events.filter(isMail), this.laneCounts));
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

type LaneEvent = MessageEvent | MailEvent;

const sized = (item: Item): Sized<LaneEvent> => ('write' in item ? sizedWrite(item.write) : sizedMail(item.mail));
const isMail = (each: Sized<LaneEvent>): each is Sized<MailEvent> => 'to' in each.event;
const isWrite = (each: Sized<LaneEvent>): each is Sized<MessageEvent> => !isMail(each);

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

/** A single job is added without a pipeline, because ioredis takes long to make one. */
async function addTo(queue: JobQueue | undefined, jobs: readonly NewJob[]): Promise<unknown> {
  const [first, ...others] = jobs.map(toBullmq);
  if (queue === undefined || first === undefined) throw new TypeError('there is no such lane');
  return others.length === 0 ? queue.add(first.name, first.data, first.opts) : queue.addBulk([first, ...others]);
}
