import type { Delivery, EmqxApi, HeldView, PublishOutcome, SessionView } from '../../../src/emqx/api';
import type { DeliveryDroppedEvent, OfflineEvent } from '../../../src/events/event';
import type { Message } from '../../../src/mqtt/message';
import { MSGID_PROPERTY, SIGNATURE_PROPERTY } from '../../../src/mailbox/signature';
import { matches, splitShare } from '../../../src/mqtt/topic';

export interface Copy {
  readonly delivery: Delivery;
  readonly qos: number;
  /** EMQX's. */
  readonly brokerId: string;
  /** The id of a client's own publish; null for a delivery of the server. */
  readonly id: string | null;
}

/** Of the stored message. */
export function storedId({ id, delivery }: Copy): string {
  return id ?? delivery.properties.userProperties[MSGID_PROPERTY] ?? '';
}

/** A client's session: what EMQX has sent it, or keeps for it, and it has not acknowledged. */
export class Session {
  readonly subscriptions = new Map<string, 0 | 1 | 2>();
  /** Everything EMQX took for it, in order. */
  readonly delivered: Copy[] = [];
  unacknowledged: Copy[] = [];
  /** By stored id: when the client acknowledged it last. */
  readonly ackedAt = new Map<string, number>();
  isConnected = true;
  connectedAt: number;

  constructor(
    readonly clientid: string,
    readonly createdAt: number,
  ) {
    this.connectedAt = createdAt;
  }

  get texts(): string[] {
    return this.delivered.map(({ delivery }) => delivery.payload.toString());
  }
}

/** EMQX's REST API and its sessions; every event is the test's to send, and when. */
export class SimulatedBroker {
  readonly sessions = new Map<string, Session>();
  /** Messages that a session holds at most; beyond it the oldest is dropped. */
  queue = Infinity;
  /** EMQX 5.7 and later tells what it holds. */
  lists = true;
  private published = 0;
  /** Events that EMQX has not sent yet. */
  readonly events: OfflineEvent[] = [];
  private readonly turns = new Map<string, number>();
  onDelivery: (session: Session, copy: Copy) => void = () => undefined;

  constructor(private readonly now: () => number) {}

  session(clientid: string): Session {
    const session = this.sessions.get(clientid) ?? new Session(clientid, this.now());
    this.sessions.set(clientid, session);
    return session;
  }

  /** @param keeps what a persistent session does, with its subscriptions. */
  disconnect(clientid: string, keeps: boolean): void {
    const session = this.sessions.get(clientid);
    if (session !== undefined) session.isConnected = false;
    if (!keeps) this.sessions.delete(clientid);
  }

  connect(clientid: string): Session {
    const session = this.session(clientid);
    if (!session.isConnected) session.connectedAt = this.now();
    session.isConnected = true;
    return session;
  }

  asApi(): EmqxApi {
    const publish: EmqxApi['publish'] = async (messages) => messages.map((each) => this.publish(each));
    const subscribe: EmqxApi['subscribe'] = async (clientid, subscriptions) => {
      const session = this.sessions.get(clientid);
      if (session?.isConnected !== true) return 'not-connected';
      for (const { topic, qos } of subscriptions) session.subscriptions.set(topic, qos);
      return 'subscribed';
    };
    const subscribeAll: EmqxApi['subscribeAll'] = async (clientid, subscriptions) => {
      const connected = (await subscribe(clientid, subscriptions)) === 'subscribed';
      if (connected)
        for (const { topic: filter, qos } of subscriptions) this.events.push({ type: 'subscribed', clientid, filter, qos, at: this.now() });
      return { connected, refused: [] };
    };
    const session: EmqxApi['session'] = async (clientid) => this.view(clientid);
    const held: EmqxApi['held'] = async (clientid) => this.held(clientid);
    return { publish, subscribe, subscribeAll, session, held } as EmqxApi;
  }

  private view(clientid: string): SessionView | null {
    const session = this.sessions.get(clientid);
    if (session === undefined) return null;
    const { isConnected: connected, connectedAt, createdAt, unacknowledged } = session;
    return { connected, connectedAt, createdAt, persistent: true, durable: false, queued: 0, inflight: unacknowledged.length };
  }

  private held(clientid: string): HeldView {
    const session = this.sessions.get(clientid);
    if (session === undefined) return { kind: 'no-client' };
    if (!this.lists) return { kind: 'unknown' };
    const messages = session.unacknowledged.map(({ brokerId, delivery, id }) => ({
      id: brokerId,
      topic: delivery.topic,
      from: id === null ? 'http_api' : 'publisher',
    }));
    return { kind: 'list', messages, complete: true };
  }

  /** A client publishes: who is subscribed gets it from EMQX. */
  publishLive({ id, topic, payload, qos }: Message): void {
    const delivery = { topic, payload, qos, retain: false, properties: { userProperties: {} } };
    this.publish(delivery, id);
  }

  private publish(delivery: Delivery, id: string | null = null): PublishOutcome {
    const receivers = this.receivers(delivery.topic);
    const brokerId = id ?? `REST${this.published++}`;
    for (const [session, qos] of receivers) this.take(session, { delivery, qos: Math.min(delivery.qos, qos), id, brokerId });
    return receivers.length > 0 ? { result: 'delivered', id: brokerId } : { result: 'no-subscribers' };
  }

  /** Each subscription, but of a shared group one member: the next one that is connected, if there is any. */
  private receivers(topic: string): [Session, number][] {
    const plain: [Session, number][] = [];
    const groups = new Map<string, [Session, number][]>();
    for (const session of this.sessions.values()) {
      for (const [subscription, qos] of session.subscriptions) {
        const { group, filter } = splitShare(subscription);
        if (!matches(filter, topic)) continue;
        if (group === null) plain.push([session, qos]);
        else groups.set(subscription, [...(groups.get(subscription) ?? []), [session, qos]]);
      }
    }
    return [...plain, ...[...groups].map(([group, members]) => this.memberOf(group, members))];
  }

  private memberOf(group: string, members: readonly [Session, number][]): [Session, number] {
    const connected = members.filter(([session]) => session.isConnected);
    const turn = this.turns.get(group) ?? 0;
    this.turns.set(group, turn + 1);
    const list = connected.length > 0 ? connected : members;
    return list[turn % list.length] as [Session, number];
  }

  private take(session: Session, copy: Copy): void {
    if (copy.qos === 0 && !session.isConnected) return;
    session.delivered.push(copy);
    this.onDelivery(session, copy);
    if (copy.qos === 0) return;
    session.unacknowledged.push(copy);
    if (session.unacknowledged.length > this.queue) this.drop(session, 'queue_full');
  }

  /** The oldest that the client has not acknowledged. `reason` null: EMQX tells nobody. */
  drop(session: Session, reason: string | null): Copy {
    const copy = session.unacknowledged.shift();
    if (copy === undefined) throw new Error('nothing to drop');
    if (reason === null) return copy;
    this.events.push({ ...this.columns(session, copy), type: 'delivery-dropped', qos: copy.qos, reason } as DeliveryDroppedEvent);
    return copy;
  }

  acknowledge(session: Session, count: number): void {
    this.acknowledgeAll(session, session.unacknowledged.slice(0, count));
  }

  /** In this order. */
  acknowledgeAll(session: Session, copies: readonly Copy[]): void {
    for (const copy of copies) {
      this.events.push({ ...this.columns(session, copy), type: 'acked' });
      session.ackedAt.set(storedId(copy), this.now());
    }
    session.unacknowledged = session.unacknowledged.filter((copy) => !copies.includes(copy));
  }

  private columns({ clientid }: Session, { delivery, id: live, brokerId }: Copy) {
    const { [MSGID_PROPERTY]: id = '', [SIGNATURE_PROPERTY]: signature = '' } = delivery.properties.userProperties;
    return { id: brokerId, topic: delivery.topic, clientid, mark: live === null ? { id, signature } : null, at: this.now() };
  }
}
