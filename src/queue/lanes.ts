import type { Flows, JobQueue, QueueBackend } from './backend';
import { Batcher, type Budget } from './batcher';
import { errorText, UnavailableError } from '../errors';
import type { ClientJob, DeliveryRequest, MessageEvent, Progress } from './jobs';
import { CLIENT_LANES, clientLane, laneOf, lanesOf, MESSAGE_LANES, messageLane } from './names';

const MAX_BATCH_EVENTS = 256;
const MAX_BATCH_BYTES = 4 * 1024 * 1024;
/** An add that takes longer counts as failed; EMQX sends the event again, and what is done twice has the effect of once. */
const ADD_TIMEOUT_MS = 10_000;
const JOB = { removeOnComplete: true } as const;

/**
 * The way into the queue. Every method resolves when the queue has it durably (promise 1) and throws UnavailableError or
 * OverloadedError otherwise.
 */
export class Lanes {
  private readonly messages: JobQueue[];
  private readonly clients: JobQueue[];
  private readonly events: Batcher<MessageEvent>[];
  private readonly requests: Batcher<DeliveryRequest>[];

  private readonly flows: Flows;

  constructor(backend: QueueBackend, budget: Budget) {
    this.flows = backend.flows();
    this.messages = Array.from({ length: MESSAGE_LANES }, (_, lane) => backend.queue(messageLane(lane)));
    this.clients = Array.from({ length: CLIENT_LANES }, (_, lane) => backend.queue(clientLane(lane)));
    const limits = { maxItems: MAX_BATCH_EVENTS, maxBytes: MAX_BATCH_BYTES, budget };
    this.events = this.messages.map((queue) => {
      const flush = (events: MessageEvent[]) => durable(queue.add('events', { events }, JOB));
      return new Batcher({ ...limits, flush });
    });
    this.requests = this.clients.map((_, lane) => {
      const flush = (requests: DeliveryRequest[]) => this.addDelivery('subscribed', lane, requests);
      return new Batcher({ ...limits, flush });
    });
  }

  /** One lane never runs two jobs at a time, in whatever process: that keeps the order of a topic, and of a client. */
  async prepare(): Promise<void> {
    await Promise.all([...this.messages, ...this.clients].map((queue) => queue.setGlobalConcurrency(1)));
  }

  write(event: MessageEvent, bytes: number): Promise<void> {
    const topic = event.kind === 'publish' ? event.message.topic : event.topic;
    return this.at(this.events, laneOf(topic, MESSAGE_LANES)).add(event, bytes);
  }

  /** The delivery starts when all that was accepted before it, in every lane that its filter can match, is in the store (promise 4). */
  deliver(request: DeliveryRequest): Promise<void> {
    const lane = laneOf(request.clientid, CLIENT_LANES);
    return this.at(this.requests, lane).add(request, request.clientid.length + request.filter.length + 100);
  }

  /**
   * Looks again after `delayMs`: for what was published before the subscription and arrives after it (promise 5), and for
   * deliveries that nobody acknowledged. When it is due, `recheck` puts it behind the fences.
   */
  async recheckLater(requests: readonly DeliveryRequest[], delayMs: number): Promise<void> {
    for (const [lane, group] of byClientLane(requests)) {
      await durable(this.at(this.clients, lane).add('due', { requests: group }, { ...JOB, delay: delayMs }));
    }
  }

  async recheck(requests: readonly DeliveryRequest[]): Promise<void> {
    for (const [lane, group] of byClientLane(requests)) await this.addDelivery('recheck', lane, group);
  }

  async progress(acks: readonly Progress[]): Promise<void> {
    for (const [lane, group] of byClientLane(acks)) {
      await durable(this.at(this.clients, lane).add('progress', { acks: group }, JOB));
    }
  }

  /** A flow: the delivery is the parent, a fence in each message lane its children. */
  private async addDelivery(name: ClientJob['name'], lane: number, requests: readonly DeliveryRequest[]): Promise<void> {
    const lanes = [...new Set(requests.flatMap(({ filter }) => lanesOf(filter)))];
    await Promise.all(lanes.map((each) => this.at(this.events, each).settled()));
    await durable(
      this.flows.add({
        name,
        queueName: clientLane(lane),
        data: { requests },
        opts: JOB,
        children: lanes.map((each) => ({ name: 'fence', queueName: messageLane(each), data: {}, opts: JOB })),
      }),
    );
  }

  async counts(): Promise<{ name: string; waiting: number; active: number; delayed: number }[]> {
    return Promise.all(
      [...this.messages, ...this.clients].map(async (queue) => {
        const counts = await queue.getJobCounts('waiting', 'active', 'delayed', 'waiting-children');
        const waiting = (counts['waiting'] ?? 0) + (counts['waiting-children'] ?? 0);
        return { name: queue.name, waiting, active: counts['active'] ?? 0, delayed: counts['delayed'] ?? 0 };
      }),
    );
  }

  /** Flushes what is in memory. */
  async close(): Promise<void> {
    await Promise.all([...this.events, ...this.requests].map((batcher) => batcher.settled()));
    await Promise.all([...this.messages, ...this.clients].map((queue) => queue.close()));
    await this.flows.close();
  }

  private at<T>(list: readonly T[], lane: number): T {
    return list[lane] as T;
  }
}

function byClientLane<T extends { clientid: string }>(items: readonly T[]): Map<number, T[]> {
  const groups = new Map<number, T[]>();
  for (const item of items) {
    const lane = laneOf(item.clientid, CLIENT_LANES);
    groups.set(lane, [...(groups.get(lane) ?? []), item]);
  }
  return groups;
}

async function durable(add: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ADD_TIMEOUT_MS} ms`)), ADD_TIMEOUT_MS);
  });
  try {
    await Promise.race([add, late]);
  } catch (error) {
    throw new UnavailableError(`the queue cannot be written: ${errorText(error)}`);
  } finally {
    clearTimeout(timer);
  }
}
