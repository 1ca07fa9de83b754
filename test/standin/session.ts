import type { Broker } from './broker';
import type { BrokerMessage } from './message';

export interface Limits {
  /** QoS 1 and 2 messages sent and not acknowledged: EMQX's receive maximum. */
  readonly inflight: number;
  /** What waits behind them; beyond it the OLDEST is dropped (facts.md). */
  readonly queue: number;
}

interface Pending {
  readonly message: BrokerMessage;
  readonly qos: 0 | 1 | 2;
  /** EMQX sends it on a subscription: only then the packet has the flag. */
  readonly retained: boolean;
}

/** The way out to the client's connection. */
export interface Outlet {
  send(message: BrokerMessage, qos: 0 | 1 | 2, messageId: number | undefined): void;
  close(): void;
}

/** A client's session: subscriptions, window and queue, as EMQX keeps them. A persistent one outlives its connection. */
export class Session {
  readonly subscriptions = new Map<string, 0 | 1 | 2>();
  outlet: Outlet | null = null;
  connectedAt = 0;
  private readonly inflight = new Map<number, Pending>();
  private queue: Pending[] = [];
  private nextId = 1;

  constructor(
    private readonly broker: Broker,
    readonly clientid: string,
    readonly username: string | null,
    readonly persistent: boolean,
    readonly version: number,
    private readonly limits: Limits,
  ) {}

  deliver(message: BrokerMessage, subscriptionQos: 0 | 1 | 2, retained = false): void {
    const qos = Math.min(message.qos, subscriptionQos) as 0 | 1 | 2;
    if (this.outlet !== null && qos === 0) {
      this.broker.emitFor('message.delivered', this, message, { qos });
      this.outlet.send({ ...message, retain: retained }, 0, undefined);
      return;
    }
    this.queue.push({ message, qos, retained });
    this.pump();
    if (this.queue.length <= this.limits.queue) return;
    const [oldest] = this.queue.splice(0, 1);
    if (oldest !== undefined) this.broker.emitFor('delivery.dropped', this, oldest.message, { qos: oldest.qos, reason: 'queue_full' });
  }

  acknowledge(messageId: number): void {
    const pending = this.inflight.get(messageId);
    if (pending === undefined) return;
    this.inflight.delete(messageId);
    this.broker.emitFor('message.acked', this, pending.message, { qos: pending.qos, puback_props: { 'User-Property': {} } });
    this.pump();
  }

  /** What was sent and not acknowledged goes out again, then the queue: no event of a subscription. */
  resume(outlet: Outlet): void {
    this.outlet = outlet;
    this.queue = [...this.inflight.values(), ...this.queue];
    this.inflight.clear();
    this.pump();
  }

  private pump(): void {
    while (this.outlet !== null && this.inflight.size < this.limits.inflight && this.queue.length > 0) {
      const pending = this.queue.shift() as Pending;
      if (pending.qos === 0) {
        this.broker.emitFor('message.delivered', this, pending.message, { qos: 0 });
        this.outlet.send({ ...pending.message, retain: pending.retained }, 0, undefined);
        continue;
      }
      const messageId = this.nextId;
      this.nextId = (this.nextId % 65_535) + 1;
      this.inflight.set(messageId, pending);
      this.broker.emitFor('message.delivered', this, pending.message, { qos: pending.qos });
      this.outlet.send({ ...pending.message, retain: pending.retained }, pending.qos, messageId);
    }
  }
}
