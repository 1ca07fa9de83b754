import { AckEvents } from './acks';
import type { Broker } from './broker';
import { isExpired, nextInsertion, type BrokerMessage } from './message';
import type { Connect, Limits, Outlet, Pending, Subscription } from './types';

/** As a setTimeout takes it; EMQX's 0xffffffff means for ever. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** A client's session: subscriptions, window and queue, as EMQX keeps them. A persistent one outlives its connection. */
export class Session {
  readonly clientid: string;
  readonly subscriptions = new Map<string, 0 | 1 | 2>();
  readonly noLocal = new Set<string>();
  readonly acks = new AckEvents();
  readonly createdAt = Date.now();
  readonly sent = new Map<number, Pending>();
  queue: Pending[] = [];
  outlet: Outlet | null = null;
  connectedAt = 0;
  disconnectedAt = 0;
  /** Of a full queue. */
  droppedCount = 0;
  readonly persistentAtFirst: boolean;
  /** As a DISCONNECT of MQTT 5 may change it. */
  expiry = 0;
  private nextId = 1;
  private inTurn = 0;
  private timer: NodeJS.Timeout | null = null;

  constructor(
    private readonly broker: Broker,
    public connect: Connect,
    readonly limits: Limits,
  ) {
    this.clientid = connect.clientid;
    this.begin(connect);
    this.persistentAtFirst = this.persistent;
  }

  get persistent(): boolean {
    return this.expiry > 0;
  }

  /** EMQX keeps on disk what outlives its connection, where that is on. */
  get durable(): boolean {
    return this.persistent && this.broker.durableSessions;
  }

  get inflightMax(): number {
    return Math.min(this.limits.inflight, this.connect.receiveMaximum ?? Infinity);
  }

  /** A connection begins: the session is its own from now on, with what it asked for. */
  begin(connect: Connect): void {
    this.connect = connect;
    this.expiry = connect.expiry;
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }

  /** The connection is over. */
  leave(): void {
    this.acks.flush();
    this.outlet = null;
    this.disconnectedAt = Date.now();
  }

  /** Calls back unless a connection begins before. */
  onExpiry(expired: () => void): void {
    if (this.expiry * 1000 > LONGEST_TIMER_MS) return;
    this.timer = setTimeout(expired, this.expiry * 1000);
    this.timer.unref();
  }

  /** What it holds is gone: no event tells. */
  end(): void {
    this.begin(this.connect);
    this.acks.forget();
    this.outlet = null;
    this.queue = [];
    this.sent.clear();
  }

  deliver(message: BrokerMessage, to: Subscription, retained = false): void {
    if (this.overflows()) return;
    const qos = Math.min(message.qos, to.qos) as 0 | 1 | 2;
    const pending: Pending = { message, qos, retained, noLocal: to.noLocal, insertedAt: nextInsertion(), resumed: false, released: false };
    if (this.outlet !== null && qos === 0) return this.send(pending, undefined);
    this.queue.push(pending);
    this.pump();
    if (this.queue.length <= this.limits.queue) return;
    const [oldest] = this.queue.splice(0, 1);
    this.droppedCount++;
    if (oldest !== undefined) this.dropped(oldest, 'queue_full');
  }

  /** PUBACK */
  acknowledge(messageId: number): void {
    const pending = this.sent.get(messageId);
    if (pending?.qos !== 1) return;
    this.sent.delete(messageId);
    this.acked(pending);
    this.pump();
  }

  /** PUBREC: message.acked of a QoS 2 delivery. */
  received(messageId: number): void {
    const pending = this.sent.get(messageId);
    if (pending?.qos !== 2 || pending.released) return;
    pending.released = true;
    this.acked(pending);
  }

  /** PUBCOMP: only now it is no longer in flight. */
  complete(messageId: number): void {
    if (this.sent.get(messageId)?.released !== true) return;
    this.sent.delete(messageId);
    this.pump();
  }

  /** What was sent and not acknowledged goes out again, then the queue: no event of a subscription. */
  resume(outlet: Outlet): void {
    this.outlet = outlet;
    this.acks.resume();
    for (const pending of [...this.sent.values(), ...this.queue]) pending.resumed = true;
    for (const [messageId, pending] of this.sent) {
      if (pending.released) outlet.release(messageId);
      else this.send(pending, messageId, true);
    }
    this.pump();
  }

  /** What EMQX loses without a word. @returns how many. */
  dropSilently(matches: (message: BrokerMessage) => boolean = () => true): number {
    const before = this.queue.length + this.sent.size;
    this.queue = this.queue.filter(({ message }) => !matches(message));
    for (const [messageId, { message }] of this.sent) if (matches(message)) this.sent.delete(messageId);
    const count = before - this.queue.length - this.sent.size;
    this.pump();
    return count;
  }

  private pump(): void {
    while (this.outlet !== null && this.sent.size < this.inflightMax) {
      const pending = this.queue.shift();
      if (pending === undefined) return;
      if (isExpired(pending.message)) this.dropped(pending, 'expired');
      else if (pending.qos === 0) this.send(pending, undefined);
      else this.send(pending, this.track(pending));
    }
  }

  private track(pending: Pending): number {
    const messageId = this.nextId;
    this.nextId = (this.nextId % 65_535) + 1;
    pending.insertedAt = nextInsertion();
    this.sent.set(messageId, pending);
    return messageId;
  }

  private send(pending: Pending, messageId: number | undefined, dup = false): void {
    const { message, qos, retained } = pending;
    if (!this.durable) this.broker.emitFor('message.delivered', this, pending, { qos }, dup);
    this.outlet?.send({ ...message, retain: retained }, qos, messageId, dup);
  }

  private acked(pending: Pending): void {
    if (this.durable) return this.broker.emitNameless(this, pending.qos);
    const fire = (): void =>
      this.broker.emitFor('message.acked', this, pending, { qos: pending.qos, puback_props: { 'User-Property': {} } });
    this.acks.acked(fire, pending.resumed, this.broker.lateAcksMs);
  }

  private dropped(pending: Pending, reason: string): void {
    if (this.limits.silent !== true) this.broker.emitFor('delivery.dropped', this, pending, { qos: pending.qos, reason });
  }

  /** Counts what comes within one turn of the event loop. */
  private overflows(): boolean {
    const { mailbox } = this.limits;
    if (mailbox === undefined) return false;
    if (this.inTurn++ === 0) setImmediate(() => (this.inTurn = 0));
    if (this.inTurn <= mailbox) return false;
    this.broker.kill(this);
    return true;
  }
}
