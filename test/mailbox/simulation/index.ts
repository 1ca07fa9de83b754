import type { Policy } from '../../../src/config/policies';
import type { OfflineEvent } from '../../../src/events/event';
import { RetryableError } from '../../../src/base/errors';
import { Clients } from '../../../src/mailbox/clients/clients';
import { Subscriptions } from '../../../src/mailbox/clients/subscriptions';
import { Deliverer } from '../../../src/mailbox/deliver/deliverer';
import { LateWrites } from '../../../src/mailbox/positions/late-writes';
import { toWire, type Message } from '../../../src/mqtt/message';
import { Positions } from '../../../src/mailbox/positions/positions';
import { Reading } from '../../../src/mailbox/positions/reading';
import { RetainedIds } from '../../../src/mailbox/retained/retained-ids';
import { AcceptedAcks } from '../../../src/mailbox/accepted-acks';
import { route } from '../../../src/door/route';
import { Signer } from '../../../src/mailbox/signature';
import { Trimmer } from '../../../src/writes/trimmer';
import { requestsOf } from '../../../src/mailbox/positions/readers';
import { clientConsumer } from '../../../src/mqtt/consumer';
import { loadWindow } from '../../../src/mailbox/deliver/windows';
import { Writer } from '../../../src/writes/writer';
import { createMetrics } from '../../../src/base/metrics';
import { MemoryStore } from '../../support/memory-store';
import { message } from '../../support/messages';
import { policy } from '../../support/policies';
import { SimulatedBroker, type Session } from './broker';
import { SimulatedQueue, type Entry } from './queue';
import { MemoryState } from './state';
import { Died, Steps } from './steps';

/**
 * All that works on events, with a clock and an order of events that the test decides; lanes, a store and a broker in memory. What is in the
 * lanes is done in the order in which it came, or as the test chooses, and any job may die or fail at any step.
 */
export class Simulation {
  /** Far from 0, and a whole second. */
  now = 1_800_000_000_000;
  readonly broker = new SimulatedBroker(() => this.now);
  readonly store = new MemoryStore();
  readonly state = new MemoryState(() => this.now);
  readonly metrics = createMetrics();
  readonly queue = new SimulatedQueue(() => this.now);
  readonly steps = new Steps();
  /** Given to EMQX and not acknowledged, at most, by client. */
  readonly peak = new Map<string, number>();
  /** Who hears of each job before it is worked on. */
  onJob: (entry: Entry) => void = () => undefined;
  readonly policies: readonly Policy[];
  private readonly signer = new Signer('key');
  private readonly writer: Writer;
  private readonly reading: Reading;
  private readonly deliverer: Deliverer;
  private readonly clients: Clients;
  private sequence = 0;

  constructor(...fields: Partial<Policy>[]) {
    this.policies = fields.length === 0 ? [policy()] : fields.map(policy);
    const now = () => this.now;
    const { policies, metrics, signer, steps } = this;
    const [state, store, emqx, lanes] = [steps.of(this.state), steps.of(this.store.asStore()), steps.of(this.broker.asApi()), steps.of(this.queue.asLanes())];
    const common = { store, state, policies, lanes, metrics, acks: new AcceptedAcks(null), setAside: async () => undefined, now };
    const keeper = { apply: async () => undefined };
    this.writer = new Writer({ ...common, trimmer: new Trimmer(common), retained: new RetainedIds(state), keeper, lateWrites: new LateWrites(common) });
    this.reading = new Reading({ ...common, positions: new Positions(common) });
    this.deliverer = new Deliverer({ ...common, emqx, signer });
    this.clients = new Clients({ ...common, subscriptions: new Subscriptions({ ...common, emqx }) });
  }

  get delayed() {
    return this.queue.delayed;
  }

  /** A client's message, whose event has not arrived yet. */
  published(topic: string, text: string, fields: Partial<Message> = {}): OfflineEvent {
    const id = `${(BigInt(this.now) * 1000n).toString(16).padStart(16, '0')}0000${(this.sequence++).toString(16).padStart(12, '0')}`.toUpperCase();
    return { type: 'publish', mark: null, message: toWire(message({ id, topic, payload: Buffer.from(text), publishReceivedAt: this.now, ...fields })) };
  }

  /** The client subscribes now; its event has not arrived yet. */
  subscribed(clientid: string, filter: string, qos: 0 | 1 | 2 = 1): OfflineEvent {
    this.broker.session(clientid).subscriptions.set(filter, qos);
    return { type: 'subscribed', clientid, filter, qos, at: this.now };
  }

  /** Events are accepted, in this order. */
  accept(...events: readonly OfflineEvent[]): void {
    this.queue.put(events.flatMap((event) => route(event, this.policies, this.signer)));
  }

  /** As POST /v1/deliveries: Core.requestDelivery. */
  deliver(clientid: string, filter: string): void {
    this.queue.put(requestsOf(this.policies, { clientid, filter, qos: 2, at: this.now }).map((deliver) => ({ deliver })));
  }

  /** Events arrive, in this order, and all the work that is not for later is done. */
  async arrive(...events: readonly OfflineEvent[]): Promise<void> {
    this.accept(...events);
    await this.settle();
  }

  /** What EMQX has to tell arrives. */
  async tell(): Promise<void> {
    while (this.broker.events.length > 0) await this.arrive(...this.broker.events.splice(0));
  }

  /** Stores so many messages m0, m1, ... */
  async fill(topic: string, count: number, fields: Partial<Message> = {}, prefix = 'm'): Promise<string[]> {
    const texts = Array.from({ length: count }, (_, i) => `${prefix}${i}`);
    await this.arrive(...texts.map((text) => this.published(topic, text, fields)));
    this.now += 1;
    return texts;
  }

  /** The client acknowledges, and EMQX tells so. */
  async acknowledge(session: Session, count: number): Promise<void> {
    this.broker.acknowledge(session, count);
    await this.tell();
  }

  /** What the client's window says is on its way. */
  async inFlight(clientid: string): Promise<Readonly<Record<string, number>>> {
    return (await loadWindow(this.state, clientConsumer(clientid))).inFlight;
  }

  /** Time passes; what was put off is done when it is due. */
  async pass(ms: number): Promise<void> {
    const end = this.now + ms;
    for (let at = this.queue.due(end); at !== null; at = this.queue.due(end)) {
      this.now = Math.max(this.now, at);
      await this.settle();
    }
    this.now = end;
  }

  /** All that is in the lanes. */
  async settle(): Promise<void> {
    while (await this.work());
  }

  /** One job, until it is done. @returns whether there was one. */
  async work(choose?: (lanes: string[]) => string): Promise<boolean> {
    const next = this.queue.next(choose);
    if (next === null) return false;
    this.onJob(next.entry);
    for (let takenOver = false; ; ) {
      try {
        await this.handle(next.entry, takenOver);
        break;
      } catch (error) {
        if (!(error instanceof Died || error instanceof RetryableError)) throw error;
        takenOver ||= error instanceof Died;
      }
    }
    this.queue.done(next.lane);
    for (const { clientid, unacknowledged } of this.broker.sessions.values()) {
      this.peak.set(clientid, Math.max(this.peak.get(clientid) ?? 0, unacknowledged.length));
    }
    return true;
  }

  private async handle(entry: Entry, takenOver: boolean): Promise<void> {
    if ('fence' in entry) return;
    if ('writes' in entry) return this.writer.apply(entry.writes, takenOver);
    if (entry.job.name === 'changes') {
      await this.clients.apply(entry.job.data.changes);
      return this.deliverer.left(entry.job.data.changes);
    }
    await this.reading.handle(entry.job, takenOver);
    await this.deliverer.handle(entry.job, takenOver);
  }
}
