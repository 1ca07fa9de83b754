import { createHash } from 'node:crypto';
import type { Policy } from '../../../src/config/policies';
import type { OfflineEvent } from '../../../src/events/event';
import { Deliverer } from '../../../src/offline/deliverer';
import type { Message } from '../../../src/offline/message';
import { RetainedIds } from '../../../src/offline/retained-ids';
import { route } from '../../../src/offline/route';
import { Signer } from '../../../src/offline/signature';
import { Trimmer } from '../../../src/offline/trimmer';
import type { Window } from '../../../src/offline/window';
import { Writer } from '../../../src/offline/writer';
import { createMetrics } from '../../../src/ops/metrics';
import type { ClientJob, MessageEvent, RetainedJob } from '../../../src/queue/jobs';
import type { Lanes } from '../../../src/queue/lanes';
import { message } from '../../support/messages';
import { policy } from '../../support/policies';
import { SimulatedBroker, type Session } from './broker';
import { MemoryState } from './state';
import { MemoryStore } from './store';

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
  private readonly deliverer: Deliverer;
  private sequence = 0;

  constructor(...policies: Partial<Policy>[]) {
    this.policies = policies.length === 0 ? [policy()] : policies.map(policy);
    const now = () => this.now;
    const common = { store: this.store.asStore(), lanes: this.lanes(), metrics: this.metrics, setAside: async () => undefined, now };
    const trimmer = new Trimmer({ store: common.store, policies: this.policies, metrics: this.metrics });
    this.writer = new Writer({ ...common, trimmer, retained: new RetainedIds(this.state), keeper: { apply: async () => undefined } });
    this.deliverer = new Deliverer({ ...common, emqx: this.broker.asApi(), state: this.state, policies: this.policies, signer: this.signer });
  }

  private lanes(): Lanes {
    const later = (delay: number, job: Work) => void this.delayed.push({ at: this.now + delay, job });
    const lanes: Pick<Lanes, 'recheck' | 'recheckLater' | 'resumeLater' | 'progress' | 'history'> = {
      recheck: async (requests) => void this.jobs.push({ name: 'recheck', data: { requests } }),
      recheckLater: async (requests, delay) => later(delay, { name: 'due', data: { requests } }),
      resumeLater: async (clientids, delay) => later(delay, { name: 'resume', data: { clients: clientids.map((clientid) => ({ clientid })) } }),
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
    const stored = await this.state.get(`window:${createHash('sha256').update(clientid).digest('hex')}`);
    return stored === null ? {} : (JSON.parse(stored) as Window).inFlight;
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

  private async settle(): Promise<void> {
    while (this.writes.length > 0 || this.jobs.length > 0) {
      if (this.writes.length > 0) await this.writer.apply(this.writes.splice(0, 256));
      else await this.deliverer.handle(this.jobs.shift() as Work, false);
      for (const { clientid, unacknowledged } of this.broker.sessions.values()) {
        this.peak.set(clientid, Math.max(this.peak.get(clientid) ?? 0, unacknowledged.length));
      }
    }
  }
}
