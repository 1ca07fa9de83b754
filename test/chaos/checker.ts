import { MSGID_PROPERTY } from '../../src/mailbox/signature';
import { stripInbox } from '../../src/mqtt/topic';
import type { BrokerEvent } from '../standin/broker';
import type { Audience } from './audience';
import type { Part } from './cast';
import { causeOf, type Cause, type FaultBetween } from './causes';
import { identityOf, keyOf, type Identity } from './message';
import { Joins } from './joins';
import { Order } from './order';
import { missing, newRecord, type Missing, type Reading, type Record } from './record';

export interface Repeat {
  readonly identity: Identity;
  /** How long before it was sent the server had accepted its acknowledgement. */
  readonly afterMs: number;
  readonly at: number;
}

export interface Arrival {
  readonly subscriber: string;
  /** The subscriber's, counted from 1. */
  readonly connection: number;
  readonly topic: string;
  readonly payload: Buffer;
  /** Sent by the server through EMQX's API. */
  readonly ours: boolean;
}

/** Knows every message that was published, every delivery and every acknowledgement, and what of it the server had accepted. */
export class Checker {
  readonly records = new Map<string, Record>();
  readonly order = new Order();
  /** Of readers that are one client. */
  readonly afterAck: Repeat[] = [];
  /** One client's acknowledgement was accepted and waited in the queue when the message was sent for another client. */
  readonly afterAnothers: Repeat[] = [];
  readonly duplicates = new Map<Cause, number>();
  /** Of something that was not published as it arrived, or that was sent for another client's inbox. */
  readonly strangers: string[] = [];
  /** Messages and readers: nobody has acknowledged it, or the server has not accepted the acknowledgement. */
  open = 0;
  readonly joins = new Joins(() => this.records.values());
  /** How often the server sent a message. */
  sendCount = 0;
  private readonly byId = new Map<string, Record>();
  /** By topic: those that somebody has not acknowledged. */
  private readonly openByTopic = new Map<string, Set<Record>>();

  constructor(
    private readonly audience: Audience,
    private readonly faultBetween: FaultBetween,
  ) {}

  willPublish(identity: Identity): void {
    const readers = this.audience.readersOf(identity.topic);
    const record = newRecord(identity, readers);
    this.open += readers.length;
    this.records.set(keyOf(identity), record);
    if (readers.length > 0) this.openIn(identity.topic).add(record);
  }

  /** EMQX has an event. */
  fired(event: BrokerEvent): void {
    if (event.event === 'message.publish' && event['clientid'] !== 'http_api') {
      const record = this.recordOf(event['payload'] as Buffer);
      if (record !== null) {
        [record.id, record.publishedAt] = [String(event['id']), performance.now()];
        this.byId.set(record.id, record);
      }
    }
    const [subscriber, topic] = [String(event['clientid']), String(event['topic'])];
    if (event.event === 'session.subscribed' && this.audience.join(subscriber, topic))
      this.open += this.joins.subscribed(subscriber, topic);
    if (event.event === 'message.acked') {
      const reading = this.acknowledged(event);
      if (reading !== null) reading.ackedAt ??= performance.now();
    }
  }

  /** The server answered an event. */
  answered(event: BrokerEvent, status: number): void {
    if (status !== 202) return;
    if (event.event === 'message.publish') {
      const record = this.byId.get(String(event['id']));
      if (record !== undefined) record.acceptedAt ??= performance.now();
    }
    const [subscriber, topic] = [String(event['clientid']), String(event['topic'])];
    if (event.event === 'session.subscribed' && this.audience.hasJoined(subscriber, topic))
      this.open += this.joins.accepted(subscriber, topic, performance.now());
    if (event.event !== 'message.acked') return;
    const record = this.acknowledgedRecord(event);
    const reading = this.acknowledged(event);
    if (record === undefined || reading === null || reading.ackAcceptedAt !== null) return;
    reading.ackAcceptedAt = performance.now();
    if (reading.isOwed) this.open--;
    if ([...record.readings.values()].every(({ isOwed, ackAcceptedAt }) => !isOwed || ackAcceptedAt !== null))
      this.openIn(record.identity.topic).delete(record);
  }

  /** The server published it through EMQX's API, to its topic or to a client's inbox. */
  sent(topic: string, payload: Buffer): void {
    const record = this.recordOf(payload);
    const reading = record === null ? null : this.readingOf(record, stripInbox(topic)?.clientid ?? '');
    if (record === null || reading === null) return;
    const now = performance.now();
    reading.sends.push(now);
    this.sendCount++;
    if (reading.ackAcceptedAt === null) return;
    const list = this.audience.isAlone(record.identity.topic) ? this.afterAck : this.afterAnothers;
    list.push({ identity: record.identity, afterMs: now - reading.ackAcceptedAt, at: now });
  }

  /** EMQX has dropped a copy and told nobody: what was behind it comes before it. */
  droppedSilently(payload: Buffer): void {
    const record = this.recordOf(payload);
    if (record !== null) record.isDropped = true;
  }

  received({ subscriber, connection, topic, payload, ours }: Arrival): void {
    const record = this.recordOf(payload);
    const reading = record === null ? null : this.readingOf(record, subscriber);
    if (record === null || reading === null) return;
    if ((stripInbox(topic)?.clientid ?? subscriber) !== subscriber) this.strangers.push(`${topic} at ${subscriber}`);
    const now = performance.now();
    const receipts = reading.receipts.get(subscriber) ?? [];
    reading.receipts.set(subscriber, receipts);
    const receipt = { at: now, connection, ours };
    const before = receipts.at(-1);
    receipts.push(receipt);
    const isAlone = this.audience.isAlone(record.identity.topic);
    if (before !== undefined) {
      const isPersistent = this.audience.partOf(record.identity.topic).manner.isPersistent ?? false;
      const cause = causeOf({
        reading,
        earlier: receipts.slice(0, -1),
        before,
        receipt,
        isAlone,
        isPersistent,
        faultBetween: this.faultBetween,
      });
      this.duplicates.set(cause, (this.duplicates.get(cause) ?? 0) + 1);
    } else if (isAlone && !record.isDropped) this.order.first(subscriber, record.identity, ours, reading.sends[0], now);
  }

  /** Of a topic: published, and not acknowledged by everybody who must (as the server has accepted it). */
  openIn(topic: string): Set<Record> {
    const open = this.openByTopic.get(topic) ?? new Set();
    this.openByTopic.set(topic, open);
    return open;
  }

  private acknowledgedRecord(event: BrokerEvent): Record | undefined {
    const properties = event['pub_props'] as { 'User-Property'?: { [MSGID_PROPERTY]?: string } } | undefined;
    return this.byId.get(properties?.['User-Property']?.[MSGID_PROPERTY] ?? String(event['id']));
  }

  private acknowledged(event: BrokerEvent): Reading | null {
    const record = this.acknowledgedRecord(event);
    return record === undefined ? null : this.readingOf(record, String(event['clientid']));
  }

  private readingOf({ identity, readings }: Record, subscriber: string): Reading | null {
    const reading = readings.get(this.audience.readerOf(subscriber, identity.topic));
    if (reading === undefined && this.audience.partOf(identity.topic).isServed) this.strangers.push(`${keyOf(identity)} for ${subscriber}`);
    return reading ?? null;
  }

  private recordOf(payload: Buffer): Record | null {
    const record = this.records.get(keyOf(identityOf(payload)));
    if (record === undefined) this.strangers.push(payload.toString());
    return record ?? null;
  }

  partOf(topic: string): Part {
    return this.audience.partOf(topic);
  }

  acceptedBetween(from: number, to: number): Record[] {
    return [...this.records.values()].filter(({ acceptedAt }) => acceptedAt !== null && acceptedAt >= from && acceptedAt <= to);
  }

  /** By anybody. */
  isAcknowledged({ readings }: Record): boolean {
    return [...readings.values()].some(({ ackedAt }) => ackedAt !== null);
  }

  /** Accepted, and the reader never got it. */
  lost(): Missing[] {
    return missing(this.records.values(), ({ receipts }, { acceptedAt }) => acceptedAt !== null && receipts.size === 0);
  }

  unacknowledged(): Missing[] {
    return missing(this.records.values(), ({ ackAcceptedAt }) => ackAcceptedAt === null);
  }
}
