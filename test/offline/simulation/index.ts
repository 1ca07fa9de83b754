import type { Policy } from '../../../src/config/policies';
import type { OfflineEvent } from '../../../src/events/event';
import { Deliverer } from '../../../src/offline/deliver/deliverer';
import { LateWrites } from '../../../src/offline/positions/late-writes';
import type { Message } from '../../../src/offline/message';
import { Positions } from '../../../src/offline/positions/positions';
import { Reading } from '../../../src/offline/positions/reading';
import { RetainedIds } from '../../../src/offline/retained/retained-ids';
import { route } from '../../../src/offline/accept/route';
import { Signer } from '../../../src/offline/signature';
import { Trimmer } from '../../../src/offline/write/trimmer';
import { clientConsumer } from '../../../src/offline/positions/consumer';
import { loadWindow } from '../../../src/offline/deliver/windows';
import { Writer } from '../../../src/offline/write/writer';
import { createMetrics } from '../../../src/ops/metrics';
import type { ClientJob, MessageEvent, RetainedJob } from '../../../src/queue/jobs';
import type { Lanes } from '../../../src/queue/lanes';
import { MemoryStore } from '../../support/memory-store';
import { message } from '../../support/messages';
import { policy } from '../../support/policies';
import { SimulatedBroker, type Session } from './broker';
import { MemoryState } from './state';

type Work = Exclude<ClientJob, { name: 'changes' } | RetainedJob>;

/**
 * Writer, deliverer and windows with a clock and an order of events that the test decides: one message lane, one client lane, a store and
 * a broker in memory. A fence holds since the message lane is always worked on first.
 */
export class Simulation {
  /** Far from 0, and a whole second. */
  now = 1_800_000_000_000;
  readonly broker = new SimulatedBroker(() => this.now);
  readonly store = new MemoryStore();
  readonly state = new MemoryState(() => this.now);
  readonly metrics = createMetrics();
  readonly delayed: { readonly at: number; readonly job: Work }[] = [];
  /** Given to EMQX and not acknowledged, at most, by client. */
  readonly peak = new Map<string, number>();
  private readonly writes: MessageEvent[] = [];
  private readonly jobs: Work[] = [];
  private readonly policies: readonly Policy[];
  private readonly signer = new Signer('key');
  private readonly writer: Writer;
  private readonly reading: Reading;
  private readonly deliverer: Deliverer;
  private sequence = 0;

  constructor(...fields: Partial<Policy>[]) {
    this.policies = fields.length === 0 ? [policy()] : fields.map(policy);
    const now = () => this.now;
    const { state, policies, metrics, signer } = this;
    const common = { store: this.store.asStore(), state, policies, lanes: this.lanes(), metrics, setAside: async () => undefined, now };
    const keeper = { apply: async () => undefined };
    this.writer = new Writer({ ...common, trimmer: new Trimmer(common), retained: new RetainedIds(state), keeper, lateWrites: new LateWrites(common) });
    this.reading = new Reading({ ...common, positions: new Positions(common) });
    this.deliverer = new Deliverer({ ...common, emqx: this.broker.asApi(), signer });
  }

  private lanes(): Lanes {
    const later = (delay: number, job: Work) => void this.delayed.push({ at: this.now + delay, job });
    const lanes: Pick<Lanes, 'recheck' | 'recheckLater' | 'resumeLater' | 'turn' | 'dropped' | 'late' | 'forget' | 'progress' | 'history'> = {
      recheck: async (requests) => void this.jobs.push({ name: 'recheck', data: { requests } }),
      recheckLater: async (requests, delay) => later(delay, { name: 'due', data: { requests } }),
      resumeLater: async (consumers, delay) => later(delay, { name: 'resume', data: { windows: consumers.map((consumer) => ({ consumer })) } }),
      turn: async (name, requests) => void this.jobs.push({ name, data: { requests, turn: true } }),
      dropped: async (drops) => void this.jobs.push({ name: 'dropped', data: { drops } }),
      late: async (late) => void this.jobs.push({ name: 'late', data: { late } }),
      forget: async (positions) => void this.jobs.push({ name: 'forget', data: { positions } }),
      progress: async (acks) => void this.jobs.push({ name: 'progress', data: { acks } }),
      history: async () => undefined,
    };
    return lanes as Lanes;
  }

  /** A client's message, whose event has not arrived yet. */
  published(topic: string, text: string, fields: Partial<Message> = {}): OfflineEvent {
    const id = `${(BigInt(this.now) * 1000n).toString(16).padStart(16, '0')}0000${(this.sequence++).toString(16).padStart(12, '0')}`.toUpperCase();
    return { type: 'publish', mark: null, message: message({ id, topic, payload: Buffer.from(text), publishReceivedAt: this.now, ...fields }) };
  }

  /** The client subscribes now; its event has not arrived yet. */
  subscribed(clientid: string, filter: string, qos: 0 | 1 | 2 = 1): OfflineEvent {
    this.broker.session(clientid).subscriptions.set(filter, qos);
    this.store.subscriptions.push({ clientid, topic: filter, qos });
    return { type: 'subscribed', clientid, filter, qos, at: this.now };
  }

  /** Events arrive, in this order, and all the work that is not for later is done. */
  async arrive(...events: readonly OfflineEvent[]): Promise<void> {
    for (const item of events.flatMap((event) => route(event, this.policies, this.signer))) {
      if ('write' in item) this.writes.push(item.write);
      else if ('deliver' in item) this.jobs.push({ name: 'subscribed', data: { requests: [item.deliver] } });
      else if ('drop' in item) this.jobs.push({ name: 'dropped', data: { drops: [item.drop] } });
    }
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
    for (;;) {
      const next = this.delayed.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.delayed.splice(this.delayed.indexOf(next), 1);
      this.now = Math.max(this.now, next.at);
      this.jobs.push(next.job);
      await this.settle();
    }
    this.now = end;
  }

  private async work(job: Work): Promise<void> {
    await this.reading.handle(job);
    await this.deliverer.handle(job, false);
  }

  private async settle(): Promise<void> {
    while (this.writes.length > 0 || this.jobs.length > 0) {
      if (this.writes.length > 0) await this.writer.apply(this.writes.splice(0, 256));
      else await this.work(this.jobs.shift() as Work);
      for (const { clientid, unacknowledged } of this.broker.sessions.values()) {
        this.peak.set(clientid, Math.max(this.peak.get(clientid) ?? 0, unacknowledged.length));
      }
    }
  }
}
