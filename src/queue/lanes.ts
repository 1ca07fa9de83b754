import type { FlowJob } from 'bullmq';
import { within } from '../deadline';
import { errorText, UnavailableError } from '../errors';
import { consumerOf } from '../offline/positions/consumer';
import type { Message } from '../offline/message';
import type { Flows, JobQueue, QueueBackend } from './backend';
import { Backlog } from './backlog';
import { Batcher, type Budget } from './batcher';
import {
  toWire,
  type ClientChange,
  type ClientDrop,
  type ClientJob,
  type DeliveryRequest,
  type HistoryJob,
  type Item,
  type Late,
  type MessageEvent,
  type Progress,
  type RestoreStep,
  type Resume,
} from './jobs';
import { clientLane, historyLane, laneOf, lanesOf, messageLane, type LaneCounts } from './names';

/** One add: what arrives while the one before it is under way. */
const MAX_ADD_ITEMS = 2_048;
const MAX_ADD_BYTES = 8 * 1024 * 1024;
/** One job, and so one write to the store. */
const MAX_JOB_EVENTS = 256;
/** Each has up to MAX_ADD_BYTES. */
const JOBS_READ = 8;
/** An add that takes longer counts as failed; EMQX sends the event again, and what is done twice has the effect of once. */
const ADD_TIMEOUT_MS = 10_000;
const JOB = { removeOnComplete: true } as const;
/** One for all: restoring never runs twice at a time. */
const RETAINED_LANE = clientLane(0);

/**
 * The way into the queue. Every method resolves when the queue has it durably (promise 1) and throws UnavailableError or
 * OverloadedError otherwise.
 */
export class Lanes {
  private readonly messages: JobQueue[];
  private readonly clients: JobQueue[];
  private readonly histories: JobQueue[];
  private readonly flows: Flows;
  private readonly laneCounts: LaneCounts;
  private readonly incoming: Batcher<Item>;

  /** `sinks`: the names of the histories. */
  constructor(backend: QueueBackend, budget: Budget, sinks: readonly string[] = []) {
    this.laneCounts = backend.laneCounts;
    this.messages = Array.from({ length: this.laneCounts.messages }, (_, lane) => backend.queue(messageLane(lane)));
    this.clients = Array.from({ length: this.laneCounts.clients }, (_, lane) => backend.queue(clientLane(lane)));
    this.histories = sinks.map((sink) => backend.queue(historyLane(sink)));
    this.flows = backend.flows();
    const flush = (items: Item[]) => this.add(jobsOf(items, this.laneCounts));
    const backlog = new Backlog(this.messages);
    this.incoming = new Batcher({ flush, maxItems: MAX_ADD_ITEMS, maxBytes: MAX_ADD_BYTES, budget, gatherMs: () => backlog.gatherMs() });
  }

  /** One lane never runs two jobs at a time, in whatever process: that keeps the order of a topic, and of a client. */
  async prepare(): Promise<void> {
    await Promise.all(this.all().map((queue) => queue.setGlobalConcurrency(1)));
  }

  /**
   * A delivery starts when all that was accepted before it, in every lane that its filter can match, is in the store (promise 4).
   * `bytes` is about what the item takes in memory.
   */
  async put(item: Item, bytes: number): Promise<void> {
    await this.incoming.add(item, bytes);
  }

  /**
   * Looks again after `delayMs`: for what was published before the subscription and arrives after it (promise 5), and for
   * deliveries that nobody acknowledged. When it is due, `recheck` puts it behind the fences.
   */
  recheckLater(requests: readonly DeliveryRequest[], delayMs: number): Promise<void> {
    const opts = { ...JOB, delay: delayMs };
    return this.add(byClientLane(requests, this.laneCounts, (lane, group) => ({ name: 'due', queueName: clientLane(lane), data: { requests: group }, opts })));
  }

  /** Goes on with the consumers' windows after `delayMs`. */
  resumeLater(windows: readonly Resume[], delayMs: number): Promise<void> {
    const opts = { ...JOB, delay: delayMs };
    return this.add(byClientLane(windows, this.laneCounts, (lane, group) => ({ name: 'resume', queueName: clientLane(lane), data: { windows: group }, opts })));
  }

  /** Behind the fences of now. */
  recheck(requests: readonly DeliveryRequest[], name: 'subscribed' | 'recheck' = 'recheck'): Promise<void> {
    return this.add(byClientLane(requests, this.laneCounts, (lane, group) => delivery(name, lane, group, this.laneCounts)));
  }

  /**
   * BullMQ puts a delivery whose fences are passed in front of its lane. Read positions (pubsub mode) are known only behind what is in the
   * lane already, so it goes to the end once more; that of a group behind what its members have in their own lanes.
   */
  turn(name: 'subscribed' | 'recheck', requests: readonly DeliveryRequest[], gathered = false): Promise<void> {
    const groups = gathered ? [] : requests.filter(({ consumer }) => consumer !== undefined);
    const ready = requests.filter((request) => !groups.includes(request));
    const fences = this.clients.map((queue) => ({ name: 'fence', queueName: queue.name, data: {}, opts: JOB }));
    return this.add([
      ...byClientLane(ready, this.laneCounts, (lane, group) => ({ name, queueName: clientLane(lane), data: { requests: group, turn: true }, opts: JOB })),
      ...byClientLane(groups, this.laneCounts, (lane, group) => ({
        ...{ name: 'gathered', queueName: clientLane(lane), data: { requests: group, then: name }, opts: JOB },
        children: fences,
      })),
    ]);
  }

  late(late: readonly Late[]): Promise<void> {
    return this.add(byClientLane(late, this.laneCounts, (lane, group) => ({ name: 'late', queueName: clientLane(lane), data: { late: group }, opts: JOB })));
  }

  /** Behind what is in the lane now. */
  forget(positions: readonly Omit<Late, 'id'>[]): Promise<void> {
    return this.add(byClientLane(positions, this.laneCounts, (lane, group) => ({ name: 'forget', queueName: clientLane(lane), data: { positions: group }, opts: JOB })));
  }

  dropped(drops: readonly ClientDrop[]): Promise<void> {
    return this.add(byClientLane(drops, this.laneCounts, dropsJob));
  }

  progress(acks: readonly Progress[]): Promise<void> {
    return this.add(byClientLane(acks, this.laneCounts, (lane, group) => ({ name: 'progress', queueName: clientLane(lane), data: { acks: group }, opts: JOB })));
  }

  /** Publishes retained messages back, behind all writes that were accepted before. */
  restore(step: RestoreStep): Promise<void> {
    return this.add([{ name: 'restore', queueName: RETAINED_LANE, data: step, opts: JOB, children: this.fences([step.filter]) }]);
  }

  restoreLater(step: RestoreStep, delayMs: number): Promise<void> {
    return this.add([{ name: 'restore-due', queueName: RETAINED_LANE, data: step, opts: { ...JOB, delay: delayMs } }]);
  }

  reconcile(topics: readonly string[]): Promise<void> {
    return this.add([{ name: 'reconcile', queueName: RETAINED_LANE, data: { topics }, opts: JOB, children: this.fences(topics) }]);
  }

  /** What waits in the message lanes, in no order. What is added meanwhile may be missing, and some may come twice. */
  async *waitingEvents(): AsyncGenerator<MessageEvent> {
    for (const queue of this.messages) {
      for (const state of ['active', 'waiting'] as const) {
        for (let start = 0, count = JOBS_READ; count === JOBS_READ; start += JOBS_READ) {
          const jobs = await queue.getJobs([state], start, start + JOBS_READ - 1);
          for (const { data } of jobs) yield* (data as { events?: readonly MessageEvent[] }).events ?? [];
          count = jobs.length;
        }
      }
    }
  }

  private fences(filters: readonly string[]): FlowJob[] {
    return fencesOf(filters, this.laneCounts);
  }

  /** To every history. */
  async history(messages: readonly Message[]): Promise<void> {
    if (this.histories.length === 0 || messages.length === 0) return;
    const data: HistoryJob['data'] = { messages: messages.map(toWire) };
    await this.add(this.histories.map(({ name }) => ({ name: 'history', queueName: name, data, opts: JOB })));
  }

  /** To one history. @returns false when there is none of this name. */
  async historyOf(sink: string, messages: readonly Message[]): Promise<boolean> {
    const name = historyLane(sink);
    if (!this.histories.some((queue) => queue.name === name)) return false;
    await this.add([{ name: 'history', queueName: name, data: { messages: messages.map(toWire) }, opts: JOB }]);
    return true;
  }

  private all(): JobQueue[] {
    return [...this.messages, ...this.clients, ...this.histories];
  }

  private async add(jobs: FlowJob[]): Promise<void> {
    try {
      await within(ADD_TIMEOUT_MS, this.flows.addBulk(jobs), () => new Error(`no answer within ${ADD_TIMEOUT_MS / 1_000} s`));
    } catch (error) {
      throw new UnavailableError(`the queue cannot be written: ${errorText(error)}`);
    }
  }

  async counts(): Promise<{ name: string; waiting: number; active: number; delayed: number }[]> {
    return Promise.all(
      this.all().map(async (queue) => {
        const counts = await queue.getJobCounts('waiting', 'active', 'delayed', 'waiting-children');
        const waiting = (counts['waiting'] ?? 0) + (counts['waiting-children'] ?? 0);
        return { name: queue.name, waiting, active: counts['active'] ?? 0, delayed: counts['delayed'] ?? 0 };
      }),
    );
  }

  /** Flushes what is in memory. */
  async close(): Promise<void> {
    await this.incoming.settled();
    await Promise.all(this.all().map((queue) => queue.close()));
    await this.flows.close();
  }
}

/** The writes first, lane by lane in their order, then the deliveries: their fences are behind the writes that came with them. */
function jobsOf(items: readonly Item[], counts: LaneCounts): FlowJob[] {
  const writes = new Map<number, MessageEvent[]>();
  const requests: DeliveryRequest[] = [];
  const changes: ClientChange[] = [];
  const drops: ClientDrop[] = [];
  for (const item of items) {
    if ('deliver' in item) requests.push(item.deliver);
    else if ('change' in item) changes.push(item.change);
    else if ('drop' in item) drops.push(item.drop);
    else push(writes, laneOf(topicOf(item.write), counts.messages), item.write);
  }
  const jobs: FlowJob[] = [];
  for (const [lane, events] of writes) {
    for (let i = 0; i < events.length; i += MAX_JOB_EVENTS) {
      jobs.push({ name: 'events', queueName: messageLane(lane), data: { events: events.slice(i, i + MAX_JOB_EVENTS) }, opts: JOB });
    }
  }
  return [
    ...jobs,
    ...byClientLane(changes, counts, (lane, group) => ({ name: 'changes', queueName: clientLane(lane), data: { changes: group }, opts: JOB })),
    ...byClientLane(drops, counts, dropsJob),
    ...byClientLane(requests, counts, (lane, group) => delivery('subscribed', lane, group, counts)),
  ];
}

function dropsJob(lane: number, drops: readonly ClientDrop[]): FlowJob {
  return { name: 'dropped', queueName: clientLane(lane), data: { drops }, opts: JOB };
}

function topicOf(event: MessageEvent): string {
  return event.kind === 'publish' ? event.message.topic : event.topic;
}

/** A flow: the delivery is the parent, a fence in each message lane its children. */
function delivery(name: ClientJob['name'], lane: number, requests: readonly DeliveryRequest[], counts: LaneCounts): FlowJob {
  const children = fencesOf(requests.map(({ filter }) => filter), counts);
  return { name, queueName: clientLane(lane), data: { requests }, opts: JOB, children };
}

function fencesOf(filters: readonly string[], counts: LaneCounts): FlowJob[] {
  const lanes = [...new Set(filters.flatMap((filter) => lanesOf(filter, counts.messages)))];
  return lanes.map((each) => ({ name: 'fence', queueName: messageLane(each), data: {}, opts: JOB }));
}

/** By the consumer, which is the client itself but for groups in pubsub mode. */
function byClientLane<T extends { clientid: string } | { consumer: string }>(items: readonly T[], counts: LaneCounts, job: (lane: number, group: T[]) => FlowJob): FlowJob[] {
  const groups = new Map<number, T[]>();
  for (const item of items) push(groups, laneOf(consumerOf(item), counts.clients), item);
  return [...groups].map(([lane, group]) => job(lane, group));
}

function push<T>(groups: Map<number, T[]>, lane: number, item: T): void {
  const group = groups.get(lane);
  if (group === undefined) groups.set(lane, [item]);
  else group.push(item);
}
