import type { Policy } from '../../../src/config/policies';
import type { OfflineEvent } from '../../../src/events/event';
import { RetryableError } from '../../../src/base/errors';
import { Clients } from '../../../src/mailbox/clients/clients';
import { Subscriptions } from '../../../src/mailbox/clients/subscriptions';
import { LateWrites } from '../../../src/mailbox/positions/late-writes';
import { toWire, type Message } from '../../../src/mqtt/message';
import { MailPass } from '../../../src/mailbox/pass/pass';
import { loadMailbox } from '../../../src/mailbox/pass/boxes';
import type { Mailbox } from '../../../src/mailbox/box/mailbox';
import { RetainedIds } from '../../../src/mailbox/retained/retained-ids';
import { EventLag } from '../../../src/mailbox/event-lag';
import { AcceptedAcks } from '../../../src/mailbox/accepted-acks';
import { Ingest } from '../../../src/door/ingest';
import { deliveries } from '../../../src/door/route';
import { Signer } from '../../../src/mailbox/signature';
import { Trimmer } from '../../../src/writes/trimmer';
import { clientConsumer, mailboxKey } from '../../../src/mqtt/consumer';
import { Writer } from '../../../src/writes/writer';
import { createMetrics } from '../../../src/base/metrics';
import { MemoryStore } from '../../support/memory-store';
import { message } from '../../support/messages';
import { policy } from '../../support/policies';
import { SimulatedBroker, type Session } from './broker';
import { LANES, SimulatedQueue, type Entry } from './queue';
import { MemoryState } from './state';
import { Died, Steps } from './steps';

/**
 * All that works on events, with a clock and an order of events that the test decides; lanes, a store and a broker in
 * memory. What is in the lanes is done in the order in which it came, or as the test chooses, and any job may die or
 * fail at any step.
 */
export class Simulation {
  /** Far from 0, and a whole second. */
  now = 1_800_000_000_000;
  readonly broker = new SimulatedBroker(() => this.now);
  readonly store = new MemoryStore();
  readonly state = new MemoryState(() => this.now);
  readonly metrics = createMetrics();
  readonly queue = new SimulatedQueue();
  readonly steps = new Steps();
  /** Given to EMQX and not acknowledged, at most, by client. */
  readonly peak = new Map<string, number>();
  /** Called with each job before it is processed. */
  onJob: (entry: Entry) => void = () => undefined;
  readonly policies: readonly Policy[];
  private readonly signer = new Signer('key');
  private readonly writer: Writer;
  private readonly trimmer: Trimmer;
  private readonly ingest: Ingest;
  private pass_: MailPass;
  private readonly newPass: () => MailPass;
  /** The rules tell of connections. */
  tellsConnections = true;
  private readonly told = new Map<string, number>();
  private sequence = 0;

  constructor(...fields: Partial<Policy>[]) {
    this.policies = fields.length === 0 ? [policy()] : fields.map(policy);
    const now = () => this.now;
    const { policies, metrics, signer, steps } = this;
    const [state, store, emqx, lanes] = [
      steps.of(this.state),
      steps.of(this.store.asStore()),
      steps.of(this.broker.asApi()),
      steps.of(this.queue.asLanes()),
    ];
    const acks = new AcceptedAcks(null);
    this.ingest = new Ingest({ put: async (items) => this.queue.put(items) }, policies, signer, acks, new EventLag(), createMetrics());
    const common = { store, state, policies, lanes, metrics, acks, setAside: async () => undefined, now };
    const keeper = { apply: async () => undefined };
    this.trimmer = new Trimmer(common);
    this.writer = new Writer({
      ...common,
      trimmer: this.trimmer,
      retained: new RetainedIds(state),
      keeper,
      lateWrites: new LateWrites(common),
    });
    const clients = new Clients({ ...common, subscriptions: new Subscriptions({ ...common, emqx }) });
    const sequence = this.queue.asSequence();
    this.newPass = () => new MailPass({ ...common, clients, emqx, sequence, laneCounts: LANES, signer });
    this.pass_ = this.newPass();
  }

  get delayed() {
    return this.queue.delayed;
  }

  /** A client's message, whose event has not arrived yet. */
  published(topic: string, text: string, fields: Partial<Message> = {}): OfflineEvent {
    const id =
      `${(BigInt(this.now) * 1000n).toString(16).padStart(16, '0')}0000${(this.sequence++).toString(16).padStart(12, '0')}`.toUpperCase();
    return {
      type: 'publish',
      mark: null,
      message: toWire(message({ id, topic, payload: Buffer.from(text), publishReceivedAt: this.now, ...fields })),
    };
  }

  /** The client subscribes now; its event has not arrived yet. */
  subscribed(clientid: string, filter: string, qos: 0 | 1 | 2 = 1): OfflineEvent {
    this.broker.session(clientid).subscriptions.set(filter, qos);
    return { type: 'subscribed', clientid, filter, qos, at: this.now };
  }

  /** Events are accepted, in this order. */
  accept(...events: readonly OfflineEvent[]): void {
    const all = events.flatMap((event) => (event.type === 'subscribed' ? [...this.connected(event.clientid), event] : [event]));
    // It has them in the queue before it returns.
    void this.ingest.accept(all);
  }

  /** The event of its connection, if it has not been told of. */
  connected(clientid: string): OfflineEvent[] {
    const session = this.broker.sessions.get(clientid);
    if (session === undefined || !this.tellsConnections || this.told.get(clientid) === session.connectedAt) return [];
    this.told.set(clientid, session.connectedAt);
    const isNew = session.connectedAt === session.createdAt;
    return [
      { type: 'connected', clientid, node: null, at: session.connectedAt, cleanStart: isNew, expiryMs: 3_600_000, sessionOnly: true },
    ];
  }

  /** As POST /v1/deliveries: Core.requestDelivery. */
  deliver(clientid: string, filter: string): void {
    this.queue.put(deliveries(this.policies, { clientid, filter, qos: 2, at: this.now }));
  }

  /** Events arrive, in this order, and all the work that is not for later is done. */
  async arrive(...events: readonly OfflineEvent[]): Promise<void> {
    this.accept(...events);
    await this.settle();
  }

  /** Delivers EMQX's pending events to the server. */
  async tell(): Promise<void> {
    while (this.broker.events.length > 0) await this.arrive(...this.broker.events.splice(0));
  }

  /** Deletes what topics have beyond maxStored, as maintenance does. Other checks wait for real time, which hardly passes here. */
  async trim(): Promise<void> {
    await this.trimmer.sweep();
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

  async mailbox(consumer: string): Promise<Mailbox | null> {
    return loadMailbox(this.state, mailboxKey(consumer));
  }

  /** What the client's mailbox says is on its way. */
  async inFlight(clientid: string): Promise<string[]> {
    return [...((await this.mailbox(clientConsumer(clientid)))?.out.keys() ?? [])];
  }

  /** Time passes; what was put off is done when it is due. */
  async pass(ms: number): Promise<void> {
    const end = this.now + ms;
    let wakes = 0;
    for (let at = this.queue.due(end); at !== null; at = this.queue.due(end)) {
      this.now = Math.max(this.now, at);
      if (++wakes > 20_000) throw new Error('the mailboxes are woken without end');
      await this.settle();
    }
    this.now = end;
  }

  /** All that is in the lanes. */
  async settle(): Promise<void> {
    for (let jobs = 0; await this.work(); jobs++) if (jobs > 50_000) throw new Error('the lanes have work without end');
  }

  /** One job, until it is done. @returns whether there was one. */
  async work(choose?: (lanes: string[]) => string): Promise<boolean> {
    const next = this.queue.next(choose);
    if (next === null) return false;
    this.onJob(next.entry);
    await this.finish(next.entry);
    this.queue.done(next.lane);
    for (const { clientid, unacknowledged } of this.broker.sessions.values()) {
      this.peak.set(clientid, Math.max(this.peak.get(clientid) ?? 0, unacknowledged.length));
    }
    return true;
  }

  private async finish(entry: Entry): Promise<void> {
    let left = entry;
    for (let takenOver = false, tries = 0; ;) {
      if (++tries > 1_000) throw new Error('a job is tried without end');
      try {
        left = await this.handle(left, takenOver);
        if (!this.steps.isDead && 'mail' in left && left.mail.length === 0) return;
        if (!this.steps.isDead && 'writes' in left) return;
      } catch (error) {
        if (!(error instanceof Died || error instanceof RetryableError)) throw error;
      }
      // Another process has all of it to do again, and nothing in memory.
      if (this.steps.isDead) [left, this.pass_] = [entry, this.newPass()];
      takenOver ||= this.steps.isDead || 'mail' in left;
      this.steps.isDead = false;
    }
  }

  /** @returns what is left to do: what failed for one mailbox alone. */
  private async handle(entry: Entry, takenOver: boolean): Promise<Entry> {
    if ('writes' in entry) {
      await this.writer.apply(entry.writes, takenOver);
      return entry;
    }
    const failures = await this.pass_.handle(entry.mail, takenOver);
    for (const { error } of failures) if (!(error instanceof Died || error instanceof RetryableError)) throw error;
    return { ...entry, mail: failures.flatMap(({ events }) => events) };
  }
}
