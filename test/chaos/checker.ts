import type { BrokerEvent } from '../standin/broker';
import { MSGID_PROPERTY } from '../../src/offline/signature';
import { identityOf, keyOf, streamOf, type Identity } from './message';
import { causeOf, type Cause, type FaultBetween } from './causes';

/** Times are ms of one clock, that of the process in which the stand-in and all clients run. */
export interface Receipt {
  readonly at: number;
  /** The subscriber's, counted from 1. */
  readonly connection: number;
  /** Sent by the server through EMQX's API; otherwise EMQX delivered it itself. */
  readonly ours: boolean;
}

/** Everything that is known of a message. */
export interface Record {
  readonly identity: Identity;
  /** EMQX has taken it from the publisher. */
  publishedAt: number | null;
  /** The server answered 202 to its event. */
  acceptedAt: number | null;
  /** The first acknowledgement that reached EMQX, and the first that the server answered 202 to. */
  ackedAt: number | null;
  ackAcceptedAt: number | null;
  /** The server published it through EMQX's API, and somebody was there. */
  readonly sends: number[];
  readonly receipts: Map<string, Receipt[]>;
}

export interface Repeat {
  readonly identity: Identity;
  /** How long before it was sent the server had accepted its acknowledgement. */
  readonly afterMs: number;
  readonly at: number;
}

export interface OrderBreak {
  readonly subscriber: string;
  readonly identity: Identity;
  /** The later message that the server sent first. */
  readonly overtakenBy: number;
  readonly at: number;
}

/** Knows every message that was published, every delivery and every acknowledgement, and what of it the server had accepted. */
export class Checker {
  readonly records = new Map<string, Record>();
  /** Of topics that one client alone subscribes to. */
  readonly afterAck: Repeat[] = [];
  /** One client's acknowledgement was accepted and waited in the queue when the message was sent for another client. */
  readonly afterAnothers: Repeat[] = [];
  readonly orderBreaks: OrderBreak[] = [];
  /**
   * Sent in order, and the earlier one was lost with a connection that broke: its repeat comes behind a later one that reached the next connection
   * before the server knew of it. A session that ends with its connection has no order beyond it.
   */
  lostWithConnection = 0;
  readonly duplicates = new Map<Cause, number>();
  /** Of something that was not published as it arrived. */
  readonly strangers: string[] = [];
  /** Messages that nobody has acknowledged, or whose acknowledgement the server has not accepted. */
  open = 0;
  private readonly byId = new Map<string, Record>();
  /** By subscriber and stream: the greatest that came from the server, and when the subscription that it came through was made. */
  private readonly highest = new Map<string, { readonly sequence: number; readonly since: number }>();
  /** By subscriber. */
  private readonly subscribedAt = new Map<string, number>();

  /** @param isAlone whether only one client subscribes to the topic: among several there is no order. */
  constructor(
    private readonly isAlone: (topic: string) => boolean,
    private readonly faultBetween: FaultBetween,
  ) {}

  willPublish(identity: Identity): void {
    this.open++;
    const record = { identity, publishedAt: null, acceptedAt: null, ackedAt: null, ackAcceptedAt: null, sends: [], receipts: new Map<string, Receipt[]>() };
    this.records.set(keyOf(identity), record);
  }

  /** EMQX has an event. */
  fired(event: BrokerEvent): void {
    if (event.event === 'message.publish' && event['clientid'] !== 'http_api') {
      const record = this.recordOf(event['payload'] as Buffer);
      if (record === null) return;
      record.publishedAt = performance.now();
      this.byId.set(String(event['id']), record);
    }
    if (event.event === 'message.acked') {
      const record = this.ackedRecord(event);
      if (record !== null) record.ackedAt ??= performance.now();
    }
  }

  /** The server answered an event. */
  answered(event: BrokerEvent, status: number): void {
    if (status !== 202) return;
    if (event.event === 'message.publish') {
      const record = this.byId.get(String(event['id']));
      if (record !== undefined) record.acceptedAt ??= performance.now();
    }
    if (event.event !== 'message.acked') return;
    const record = this.ackedRecord(event);
    if (record === null || record.ackAcceptedAt !== null) return;
    record.ackAcceptedAt = performance.now();
    this.open--;
  }

  /** The server published it through EMQX's API. */
  sent(payload: Buffer): void {
    const record = this.recordOf(payload);
    if (record === null) return;
    const now = performance.now();
    record.sends.push(now);
    if (record.ackAcceptedAt === null) return;
    const list = this.isAlone(record.identity.topic) ? this.afterAck : this.afterAnothers;
    list.push({ identity: record.identity, afterMs: now - record.ackAcceptedAt, at: now });
  }

  /** The subscriber has a new connection and its subscriptions. */
  subscribes(subscriber: string): void {
    this.subscribedAt.set(subscriber, performance.now());
  }

  received(subscriber: string, connection: number, payload: Buffer, ours: boolean): void {
    const record = this.recordOf(payload);
    if (record === null) return;
    const now = performance.now();
    const receipts = record.receipts.get(subscriber) ?? [];
    record.receipts.set(subscriber, receipts);
    const receipt = { at: now, connection, ours };
    const before = receipts.at(-1);
    receipts.push(receipt);
    if (before === undefined) return this.checkOrder(subscriber, record, ours, now);
    const cause = causeOf({ record, before, receipt, isAlone: this.isAlone(record.identity.topic), faultBetween: this.faultBetween });
    this.duplicates.set(cause, (this.duplicates.get(cause) ?? 0) + 1);
  }

  /**
   * Order: what the server sends must not come before an earlier message of the same publisher and topic that the subscriber has not got yet.
   * A repeat may come at any time. What EMQX delivers itself, at once, comes before what was stored: that is as MQTT has it.
   */
  private checkOrder(subscriber: string, { identity, sends }: Record, ours: boolean, at: number): void {
    if (!this.isAlone(identity.topic)) return;
    const key = `${subscriber} ${streamOf(identity)}`;
    const highest = this.highest.get(key);
    if (highest === undefined || identity.sequence > highest.sequence) {
      if (ours) this.highest.set(key, { sequence: identity.sequence, since: this.subscribedAt.get(subscriber) ?? Infinity });
    } else if ((sends[0] ?? Infinity) < highest.since) this.lostWithConnection++;
    else this.orderBreaks.push({ subscriber, identity, overtakenBy: highest.sequence, at });
  }

  private ackedRecord(event: BrokerEvent): Record | null {
    const properties = event['pub_props'] as { 'User-Property'?: { [MSGID_PROPERTY]?: string } } | undefined;
    return this.byId.get(properties?.['User-Property']?.[MSGID_PROPERTY] ?? String(event['id'])) ?? null;
  }

  private recordOf(payload: Buffer): Record | null {
    const record = this.records.get(keyOf(identityOf(payload)));
    if (record === undefined) this.strangers.push(payload.toString());
    return record ?? null;
  }

  /** Accepted, and nobody ever got it. */
  lost(): Record[] {
    return [...this.records.values()].filter(({ acceptedAt, receipts }) => acceptedAt !== null && receipts.size === 0);
  }

  unacknowledged(): Record[] {
    return [...this.records.values()].filter(({ ackAcceptedAt }) => ackAcceptedAt === null);
  }
}
