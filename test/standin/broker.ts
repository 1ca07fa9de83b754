import { EventEmitter } from 'node:events';
import { matches, splitShare } from '../../src/mqtt/topic';
import { clientColumns, messageColumns, publisherColumns } from './columns';
import { newGuid, type BrokerMessage } from './message';
import { Session } from './session';
import type { Connect, Limits, Pending, Subscription } from './types';

/** An event as the rule engine has it: every column; payload and correlation data still as bytes. */
export type BrokerEvent = Readonly<Record<string, unknown>> & { readonly event: string };

/** How late the acknowledgements of what a resumed session sent are, but the first (traces 1 and 5). */
const LATE_ACKS_MS = 42;

type Target = Subscription & { readonly session: Session };

/** Sessions, subscriptions and routing. Emits 'event' for each of EMQX's events, in the order in which EMQX has them. */
export class Broker extends EventEmitter<{ event: [BrokerEvent] }> {
  readonly sessions = new Map<string, Session>();
  readonly retained = new Map<string, BrokerMessage>();
  /** What EMQX doesn't retain it drops without a word: over its size, its rate, its table full. */
  retains: (topic: string) => boolean = () => true;
  startedAt = Date.now();
  /** A test may make them later, or 0 for at once. */
  lateAcksMs = LATE_ACKS_MS;
  /** durable_sessions.enable */
  durableSessions = false;
  /** EMQX 6's: `$queue/{name}` is no shared subscription then. */
  messageQueues = false;
  /** What a listener of that name puts before its clients' topics; a test makes it for a client id. */
  mountpointOf: (clientid: string) => string | null = () => null;
  private round = 0;

  constructor(private limits: Limits) {
    super();
  }

  /** Events that EMQX is going to have without anybody's doing. */
  get lateEvents(): number {
    return [...this.sessions.values()].reduce((sum, { acks }) => sum + acks.count, 0);
  }

  /** @returns the session and whether it was there. */
  open(connect: Connect): { session: Session; present: boolean } {
    const known = this.sessions.get(connect.clientid);
    // A session without expiry can be taken over too, while its connection lives.
    known?.outlet?.close(connect.clean ? 'discarded' : 'takenover');
    if (known !== undefined && !connect.clean) {
      known.begin(connect);
      return { session: known, present: true };
    }
    known?.end();
    const session = new Session(this, connect, this.limits);
    this.sessions.set(connect.clientid, session);
    return { session, present: false };
  }

  connected(session: Session, columns: Record<string, unknown>): void {
    session.connectedAt = Date.now();
    const { clean, expiry } = session.connect;
    const fixed = {
      keepalive: 60,
      receive_maximum: session.inflightMax,
      is_bridge: false,
      mountpoint: this.mountpointOf(session.clientid) ?? undefined,
    };
    const own = { clean_start: clean, expiry_interval: expiry, connected_at: session.connectedAt };
    this.emitConnection('client.connected', session, { ...own, ...fixed, ...columns });
  }

  disconnected(session: Session, reason: string): void {
    session.leave();
    const times = { connected_at: session.connectedAt, disconnected_at: session.disconnectedAt };
    this.emitConnection('client.disconnected', session, { ...times, reason, disconn_props: { 'User-Property': {} } });
    if (reason === 'takenover') return;
    if (session.persistent) session.onExpiry(() => this.remove(session));
    else this.remove(session);
  }

  /** EMQX's connection process dies with all it has (its source: check_oom): neither client.disconnected nor delivery.dropped. */
  kill(session: Session): void {
    session.outlet?.kill();
    this.remove(session);
  }

  private remove(session: Session): void {
    if (this.sessions.get(session.clientid) === session) this.sessions.delete(session.clientid);
    session.end();
  }

  /** The client's own word, or REST's for it: EMQX mounts both. `$exclusive/` is gone before its hooks run. */
  subscribe(session: Session, asked: string, qos: 0 | 1 | 2, noLocal = false): void {
    const filter = this.mounted(session, asked.replace(/^\$exclusive\//, ''));
    session.subscriptions.set(filter, qos);
    if (noLocal) session.noLocal.add(filter);
    else session.noLocal.delete(filter);
    this.emitClient('session.subscribed', session, { topic: filter, qos, sub_props: { 'User-Property': {} } });
    const share = splitShare(filter);
    if (share.group !== null) return;
    for (const message of this.retainedNow()) if (matches(filter, message.topic)) this.hand(message, { session, qos, noLocal }, true);
  }

  /** No Local: EMQX does not deliver a client's own messages to it. */
  private hand(message: BrokerMessage, target: Target, retained = false): void {
    const { session, noLocal } = target;
    if (!noLocal || session.clientid !== message.clientid) return session.deliver(message, target, retained);
    this.emitFor('delivery.dropped', session, { message, retained, noLocal: false }, { reason: 'no_local' });
  }

  private mounted({ clientid }: Session, filter: string): string {
    const mountpoint = this.mountpointOf(clientid) ?? '';
    const [, share = '', plain = ''] = /^(\$share\/[^/]+\/)?(.*)$/s.exec(filter) ?? [];
    return `${share}${mountpoint}${plain}`;
  }

  unsubscribe(session: Session, asked: string): void {
    const filter = this.mounted(session, asked.replace(/^\$exclusive\//, ''));
    const qos = session.subscriptions.get(filter);
    if (qos === undefined) return;
    session.subscriptions.delete(filter);
    session.noLocal.delete(filter);
    this.emitClient('session.unsubscribed', session, { topic: filter, qos, unsub_props: { 'User-Property': {} } });
  }

  /** @returns the message's id, or null when nobody was there. */
  publish(fields: Omit<BrokerMessage, 'id' | 'receivedAt'>): string | null {
    const message: BrokerMessage = { ...fields, id: newGuid(), receivedAt: Date.now() };
    this.emit('event', { event: 'message.publish', ...messageColumns(message), ...publisherColumns(message) });
    if (message.retain) {
      if (message.payload.length === 0) this.retained.delete(message.topic);
      else if (this.retains(message.topic)) this.retained.set(message.topic, message);
    }
    // Delivered without the flag: only what is sent on subscribe has it.
    const targets = this.targets(message.topic);
    for (const target of targets) this.hand(message, target);
    if (targets.length > 0) return message.id;
    const { client_attrs: _none, ...publisher } = publisherColumns(message);
    this.emit('event', { event: 'message.dropped', ...messageColumns(message), ...publisher, reason: 'no_subscribers' });
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
    this.endSessions();
    if (!keepsRetained) this.retained.clear();
    this.startedAt = Date.now();
  }

  /** Sessions and retained messages are gone; sessions that come have these limits. */
  renew(limits: Limits): void {
    this.endSessions();
    this.lateAcksMs = LATE_ACKS_MS;
    this.retained.clear();
    this.retains = () => true;
    [this.durableSessions, this.messageQueues] = [false, false];
    this.mountpointOf = () => null;
    this.limits = limits;
  }

  private endSessions(): void {
    for (const session of this.sessions.values()) session.end();
    this.sessions.clear();
  }

  /** Each matching subscription, overlapping ones of a client too; of a shared group one member. */
  private targets(topic: string): Target[] {
    const found: Target[] = [];
    const groups = new Map<string, Target[]>();
    for (const session of this.sessions.values()) {
      for (const [subscribed, qos] of session.subscriptions) {
        if (this.messageQueues && /^\$(queue|q|s)\//.test(subscribed)) continue;
        const { group, filter } = splitShare(subscribed);
        if (!matches(filter, topic)) continue;
        const target = { session, qos, noLocal: session.noLocal.has(subscribed) };
        if (group === null) found.push(target);
        else groups.set(subscribed, [...(groups.get(subscribed) ?? []), target]);
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
  emitFor(
    event: string,
    session: Session,
    pending: Pick<Pending, 'message' | 'retained' | 'noLocal'>,
    columns: Record<string, unknown>,
    dup = false,
  ): void {
    const { message, retained, noLocal } = pending;
    const { flags, ...own } = messageColumns(message);
    this.emit('event', {
      event,
      ...own,
      flags: { ...flags, retain: retained, ...(dup && { dup }), ...(noLocal && { nl: true }) },
      ...clientColumns(session),
      from_clientid: message.clientid,
      from_username: message.username ?? undefined,
      ...columns,
    });
  }

  /** message.acked of a durable session: a new id, and nothing that says of what. */
  emitNameless(session: Session, qos: number): void {
    const nothing = {
      id: newGuid(),
      topic: '',
      payload: Buffer.alloc(0),
      flags: {},
      pub_props: { 'User-Property': {} },
      publish_received_at: Date.now(),
    };
    this.emit('event', {
      event: 'message.acked',
      ...nothing,
      ...clientColumns(session),
      from_clientid: undefined,
      from_username: undefined,
      qos,
    });
  }

  private emitClient(event: string, session: Session, columns: Record<string, unknown>): void {
    this.emit('event', { event, ...clientColumns(session), client_attrs: {}, ...columns });
  }

  private emitConnection(event: string, session: Session, columns: Record<string, unknown>): void {
    const { peerhost: _none, ...client } = clientColumns(session);
    const protocol = { sockname: '127.0.0.1:1883', proto_ver: session.connect.version, proto_name: 'MQTT' };
    this.emit('event', { event, ...client, client_attrs: {}, ...protocol, ...columns });
  }
}
