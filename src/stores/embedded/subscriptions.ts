import { keyOf, NUMBER_BYTES, readNumber, textsOf } from '../../embedded/keys';
import type { LongTable } from '../../embedded/long-table';
import { prefixed } from '../../embedded/table';
import { clampQos } from '../../mqtt/qos';
import type { Purged, Subscription, SubscriptionRef } from '../store';
import { timeOf, type Database } from './database';
import { TimeIndex } from './time-index';

/**
 * Subscriptions by client and topic filter. The value is the QoS, followed by the time if an event reported the
 * subscription. An index has these times. Must be used inside transactions.
 */
export class Subscriptions {
  readonly table: LongTable;
  private readonly seen: TimeIndex;

  constructor(db: Database) {
    this.table = db.longTable('subscriptions');
    this.seen = new TimeIndex(db.longTable('seen'), 'subscription');
  }

  put({ clientid, topic, qos, seenAt }: Subscription): void {
    const key = keyOf(clientid, topic);
    const value = this.table.get(key);
    const before = value === undefined ? null : seenOf(value);
    const isAssigned = seenAt === undefined || (value !== undefined && before === null);
    if (isAssigned) {
      if (before !== null) this.seen.remove(before, key);
      this.table.put(key, Buffer.from([qos]));
    } else this.putSeen(key, qos, before, Math.max(timeOf(seenAt), before ?? 0));
  }

  private putSeen(key: Buffer, qos: number, before: number | null, seen: number): void {
    const value = Buffer.allocUnsafe(1 + NUMBER_BYTES);
    value[0] = qos;
    value.writeUIntBE(seen, 1, NUMBER_BYTES);
    this.seen.move(before, seen, key);
    this.table.put(key, value);
  }

  remove({ clientid, topic }: SubscriptionRef): void {
    const key = keyOf(clientid, topic);
    const value = this.table.get(key);
    if (value === undefined) return;
    const seen = seenOf(value);
    if (seen !== null) this.seen.remove(seen, key);
    this.table.remove(key);
  }

  /** By ascending topic filter. */
  of(clientid: string): Subscription[] {
    return Array.from(prefixed(this.table, keyOf(clientid)), ({ key, value }) => toSubscription(key, value));
  }

  hasAssigned(clientid: string): boolean {
    for (const { value } of prefixed(this.table, keyOf(clientid))) if (seenOf(value) === null) return true;
    return false;
  }

  /**
   * A subscription whose client was seen meanwhile gets that time as its own, so that its next check is postponed
   * accordingly.
   */
  purge(before: number, limit: number, seenByState: (clientid: string) => number): Purged {
    const due = this.seen.due(before, limit);
    const clients = new Map<string, number>();
    let removed = 0;
    for (const { key, time } of due) {
      const [clientid = '', topic = ''] = textsOf(key);
      let seen = clients.get(clientid);
      if (seen === undefined) clients.set(clientid, (seen = Math.max(seenByState(clientid), this.newest(clientid))));
      if (seen > before) this.putSeen(key, this.table.get(key)?.[0] ?? 0, time, timeOf(seen));
      else {
        this.remove({ clientid, topic });
        removed++;
      }
    }
    return { removed, more: due.length >= limit };
  }

  private newest(clientid: string): number {
    let newest = 0;
    for (const { value } of prefixed(this.table, keyOf(clientid))) newest = Math.max(newest, seenOf(value) ?? 0);
    return newest;
  }
}

/** null for an assigned subscription. */
const seenOf = (value: Buffer): number | null => (value.length === 1 ? null : readNumber(value, 1));

export function toSubscription(key: Buffer, value: Buffer): Subscription {
  const [clientid = '', topic = ''] = textsOf(key);
  const seenAt = seenOf(value);
  return { clientid, topic, qos: clampQos(value[0] ?? 0), ...(seenAt !== null && { seenAt }) };
}
