import type { Delivery, EmqxApi } from '../../../src/emqx/api';
import type { DeliveryDroppedEvent, OfflineEvent } from '../../../src/events/event';
import { MSGID_PROPERTY, SIGNATURE_PROPERTY } from '../../../src/offline/signature';
import { matches, splitShare } from '../../../src/offline/topic';

interface Copy {
  readonly delivery: Delivery;
  readonly qos: number;
}

/** A client's session: what EMQX has sent it, or keeps for it, and it has not acknowledged. */
export class Session {
  readonly subscriptions = new Map<string, 0 | 1 | 2>();
  /** Everything EMQX took for it, in order. */
  readonly delivered: Copy[] = [];
  unacknowledged: Copy[] = [];

  constructor(readonly clientid: string) {}

  get texts(): string[] {
    return this.delivered.map(({ delivery }) => delivery.payload.toString());
  }
}

/** EMQX's REST API and its sessions; every event is the test's to send, and when. */
export class SimulatedBroker {
  readonly sessions = new Map<string, Session>();
  /** Messages that a session holds at most; beyond it the oldest is dropped. */
  queue = Infinity;
  /** What EMQX would post, not sent yet. */
  readonly events: OfflineEvent[] = [];

  constructor(private readonly now: () => number) {}

  session(clientid: string): Session {
    const session = this.sessions.get(clientid) ?? new Session(clientid);
    this.sessions.set(clientid, session);
    return session;
  }

  asApi(): EmqxApi {
    const publish: EmqxApi['publish'] = async (messages) => messages.map((each) => this.publish(each));
    const subscribe: EmqxApi['subscribe'] = async (clientid, subscriptions) => {
      const session = this.sessions.get(clientid);
      for (const { topic, qos } of subscriptions) session?.subscriptions.set(topic, qos);
      return session === undefined ? 'not-connected' : 'subscribed';
    };
    return { publish, subscribe } as EmqxApi;
  }

  private publish(delivery: Delivery): { result: 'delivered' } | { result: 'no-subscribers' } {
    let found = false;
    for (const session of this.sessions.values()) {
      for (const [filter, qos] of session.subscriptions) {
        if (!matches(splitShare(filter).filter, delivery.topic)) continue;
        found = true;
        this.take(session, { delivery, qos: Math.min(delivery.qos, qos) });
      }
    }
    return { result: found ? 'delivered' : 'no-subscribers' };
  }

  private take(session: Session, copy: Copy): void {
    session.delivered.push(copy);
    if (copy.qos === 0) return;
    session.unacknowledged.push(copy);
    if (session.unacknowledged.length > this.queue) this.drop(session, 'queue_full');
  }

  /** The oldest that the client has not acknowledged. */
  drop(session: Session, reason: string): void {
    const copy = session.unacknowledged.shift();
    if (copy === undefined) throw new Error('nothing to drop');
    this.events.push({ ...this.columns(session, copy), type: 'delivery-dropped', qos: copy.qos, reason } as DeliveryDroppedEvent);
  }

  acknowledge(session: Session, count: number): void {
    for (const copy of session.unacknowledged.splice(0, count)) this.events.push({ ...this.columns(session, copy), type: 'acked' });
  }

  private columns({ clientid }: Session, { delivery }: Copy) {
    const { [MSGID_PROPERTY]: id = '', [SIGNATURE_PROPERTY]: signature = '' } = delivery.properties.userProperties;
    return { id: `REST-${id}`, topic: delivery.topic, clientid, mark: { id, signature }, at: this.now() };
  }
}
