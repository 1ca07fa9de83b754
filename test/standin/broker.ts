import { EventEmitter } from 'node:events';
import { matches, splitShare } from '../../src/mqtt/topic';
import { newGuid, pubProps, type BrokerMessage } from './message';
import { Session, type Limits } from './session';

/** An event as the rule engine has it: every column; payload and correlation data still as bytes. */
export type BrokerEvent = Readonly<Record<string, unknown>> & { readonly event: string };

/** Sessions, subscriptions and routing. Emits 'event' for each of EMQX's events, in the order in which EMQX has them. */
export class Broker extends EventEmitter<{ event: [BrokerEvent] }> {
  readonly sessions = new Map<string, Session>();
  readonly retained = new Map<string, BrokerMessage>();
  /** What EMQX doesn't retain it drops without a word: over its size, its rate, its table full. */
  retains: (topic: string) => boolean = () => true;
  startedAt = Date.now();
  private round = 0;

  constructor(private limits: Limits) {
    super();
  }

  /** @returns the session and whether it was there. */
  open(clientid: string, username: string | null, clean: boolean, persistent: boolean, version: number): { session: Session; present: boolean } {
    const known = this.sessions.get(clientid);
    known?.outlet?.close();
    if (known !== undefined && !clean) return { session: known, present: true };
    const session = new Session(this, clientid, username, persistent, version, this.limits);
    this.sessions.set(clientid, session);
    return { session, present: false };
  }

  connected(session: Session, columns: Record<string, unknown>): void {
    session.connectedAt = Date.now();
    const fixed = { keepalive: 60, receive_maximum: 32, is_bridge: false, mountpoint: undefined };
    this.emitConnection('client.connected', session, { connected_at: session.connectedAt, ...fixed, ...columns });
  }

  disconnected(session: Session, reason: string): void {
    session.outlet = null;
    if (!session.persistent && this.sessions.get(session.clientid) === session) this.sessions.delete(session.clientid);
    const times = { connected_at: session.connectedAt, disconnected_at: Date.now() };
    this.emitConnection('client.disconnected', session, { ...times, reason, disconn_props: { 'User-Property': {} } });
  }

  subscribe(session: Session, filter: string, qos: 0 | 1 | 2): void {
    session.subscriptions.set(filter, qos);
    this.emitClient('session.subscribed', session, { topic: filter, qos, sub_props: { 'User-Property': {} } });
    const share = splitShare(filter);
    if (share.group !== null) return;
    for (const message of this.retainedNow()) if (matches(filter, message.topic)) session.deliver(message, qos, true);
  }

  unsubscribe(session: Session, filter: string): void {
    const qos = session.subscriptions.get(filter);
    if (qos === undefined) return;
    session.subscriptions.delete(filter);
    this.emitClient('session.unsubscribed', session, { topic: filter, qos, unsub_props: { 'User-Property': {} } });
  }

  /** @returns the message's id, or null when nobody was there. */
  publish(fields: Omit<BrokerMessage, 'id' | 'receivedAt'>): string | null {
    const message: BrokerMessage = { ...fields, id: newGuid(), receivedAt: Date.now() };
    this.emit('event', { event: 'message.publish', ...this.messageColumns(message), ...this.publisherColumns(message) });
    if (message.retain) {
      if (message.payload.length === 0) this.retained.delete(message.topic);
      else if (this.retains(message.topic)) this.retained.set(message.topic, message);
    }
    // Delivered without the flag: only what is sent on subscribe has it.
    const targets = this.targets(message.topic);
    for (const { session, qos } of targets) session.deliver(message, qos);
    if (targets.length > 0) return message.id;
    const { client_attrs: _none, ...publisher } = this.publisherColumns(message);
    this.emit('event', { event: 'message.dropped', ...this.messageColumns(message), ...publisher, reason: 'no_subscribers' });
    return null;
  }

  /** As its REST API lists them: by time of publishing, what has expired left out. */
  retainedNow(): BrokerMessage[] {
    const isAlive = ({ receivedAt, properties: { messageExpiryInterval: seconds } }: BrokerMessage): boolean =>
      seconds === undefined || seconds === 0 || receivedAt + seconds * 1000 > Date.now();
    return [...this.retained.values()].filter(isAlive).sort((a, b) => a.receivedAt - b.receivedAt);
  }

  /** A node that dies and starts again: sessions and, in memory (EMQX's default), retained messages are gone. */
  restart(keepsRetained: boolean): void {
    this.sessions.clear();
    if (!keepsRetained) this.retained.clear();
    this.startedAt = Date.now();
  }

  /** Sessions and retained messages are gone; sessions that come have these limits. */
  renew(limits: Limits): void {
    this.sessions.clear();
    this.retained.clear();
    this.retains = () => true;
    this.limits = limits;
  }

  /** Each matching subscription, overlapping ones of a client too; of a shared group one member. */
  private targets(topic: string): { session: Session; qos: 0 | 1 | 2 }[] {
    const found: { session: Session; qos: 0 | 1 | 2 }[] = [];
    const groups = new Map<string, { session: Session; qos: 0 | 1 | 2 }[]>();
    for (const session of this.sessions.values()) {
      for (const [subscribed, qos] of session.subscriptions) {
        const { group, filter } = splitShare(subscribed);
        if (!matches(filter, topic)) continue;
        if (group === null) found.push({ session, qos });
        else groups.set(subscribed, [...(groups.get(subscribed) ?? []), { session, qos }]);
      }
    }
    for (const members of groups.values()) {
      const online = members.filter(({ session }) => session.outlet !== null);
      const candidates = online.length > 0 ? online : members;
      const chosen = candidates[this.round++ % candidates.length];
      if (chosen !== undefined) found.push(chosen);
    }
    return found;
  }

  /** message.delivered, message.acked, delivery.dropped: of this subscriber. */
  emitFor(event: string, session: Session, message: BrokerMessage, columns: Record<string, unknown>): void {
    this.emit('event', {
      event,
      ...this.messageColumns(message),
      ...this.clientColumns(session),
      from_clientid: message.clientid,
      from_username: message.username ?? undefined,
      ...columns,
    });
  }

  private emitClient(event: string, session: Session, columns: Record<string, unknown>): void {
    this.emit('event', { event, ...this.clientColumns(session), client_attrs: {}, ...columns });
  }

  private emitConnection(event: string, session: Session, columns: Record<string, unknown>): void {
    const { peerhost: _none, ...client } = this.clientColumns(session);
    const protocol = { sockname: '127.0.0.1:1883', proto_ver: session.version, proto_name: 'MQTT' };
    this.emit('event', { event, ...client, client_attrs: {}, ...protocol, ...columns });
  }

  private clientColumns({ clientid, username }: Session): Record<string, unknown> {
    return { clientid, username: username ?? undefined, peername: '127.0.0.1:50000', peerhost: '127.0.0.1', ...this.commonColumns() };
  }

  private publisherColumns({ clientid, username }: BrokerMessage): Record<string, unknown> {
    const peer = clientid === 'http_api' ? { peername: undefined, peerhost: undefined } : { peername: '127.0.0.1:50001', peerhost: '127.0.0.1' };
    return { clientid, username: username ?? undefined, ...peer, client_attrs: {}, ...this.commonColumns() };
  }

  private messageColumns(message: BrokerMessage): Record<string, unknown> {
    const { id, topic, qos, retain, payload, receivedAt, clientid, properties } = message;
    const flags = clientid === 'http_api' ? { retain } : { retain, dup: false };
    return { id, topic, qos, flags, payload, publish_received_at: receivedAt, pub_props: pubProps(properties) };
  }

  private commonColumns(): Record<string, unknown> {
    return { timestamp: Date.now(), node: 'emqx@127.0.0.1', metadata: { rule_id: 'offline_store' } };
  }
}
