import { secondOf } from './expiry';
import { messageKey, type Id } from './ids';
import { expiryOf, PREFIX_BYTES, type Stored } from './log';
import type { MessageTables } from './message-tables';
import type { RecentMessage } from './recent';
import { expiresAt, publishReceivedAt, split, toHeader } from './rows';

/** A message as it is written. */
export interface Row extends Id {
  readonly topic: string;
  /** null if it never expires. A time of timeOf(). */
  readonly expires: number | null;
  /** The bytes of toBytes(), with room for the log's prefix. */
  readonly content: Buffer;
}

/**
 * A transaction's changes of messages. What many of its messages have in common is collected, so that each topic and
 * each group of the index of expiry is written once, by write().
 */
export class Changes {
  /** The numbers of the topics. */
  private readonly numbers = new Map<string, number>();
  /** How many messages each topic gets or loses in the index by topic. */
  private readonly indexed = new Map<number, number>();
  /** Topics that lose messages. */
  private readonly losing = new Set<number>();
  /** How many messages each group loses. */
  private readonly taken = new Map<number, { readonly second: number; by: number }>();
  private isChanged = false;

  constructor(private readonly tables: MessageTables) {
    tables.recent.begin();
  }

  /** Saves messages, except those that are stored already or have a tombstone. */
  save(rows: readonly Row[], now: number): void {
    const greatest = this.tables.greatestId();
    const appended: Row[] = [];
    let previous = '';
    for (const row of inOrder(rows)) {
      const isDuplicate = row.text === previous;
      previous = row.text;
      if (isDuplicate) continue;
      // An id that is greater than all others has neither a message nor a tombstone.
      if (row.text > greatest) appended.push(row);
      else if (this.mayInsert(row, now)) this.insert(row);
    }
    const groups = this.tables.expiry.group(appended);
    for (const [i, row] of appended.entries()) this.append(row, groups[i] ?? 0);
  }

  private mayInsert({ bytes, text }: Row, now: number): boolean {
    const { recent, log, tombstones } = this.tables;
    if (text > recent.indexedTo ? recent.find(text) !== undefined : log.has(bytes)) return false;
    const until = tombstones.until(bytes);
    if (until !== null && until > now) return false;
    if (until !== null) tombstones.remove(bytes);
    return true;
  }

  private insert(row: Row): void {
    const { stored, value } = this.put(row, 0);
    this.tables.log.put(row.bytes, stored, value);
    this.tables.expiry.add(row.bytes, stored);
  }

  private append(row: Row, group: number): void {
    const { stored, value } = this.put(row, group);
    this.tables.log.append(row.bytes, stored, value);
    if (group === 0) this.tables.expiry.add(row.bytes, stored);
  }

  /** @returns what the log must get. */
  private put({ bytes, text, topic, content }: Row, group: number): { readonly stored: Stored; readonly value: Buffer } {
    const { recent, byTopic, bodies } = this.tables;
    const number = this.numberOf(topic);
    const { row, body } = split(content, PREFIX_BYTES);
    if (body !== null) bodies.put(messageKey(number, bytes), body);
    const stored: RecentMessage = {
      text,
      topic: number,
      expiresAt: expiresAt(row, PREFIX_BYTES),
      publishReceivedAt: publishReceivedAt(row, PREFIX_BYTES),
      group,
      hasBody: body !== null,
      isIndexed: false,
    };
    if (text > recent.indexedTo) recent.add(stored, topic);
    else {
      byTopic.put(messageKey(number, bytes), toHeader(stored));
      this.countIndexed(number, 1);
    }
    this.isChanged = true;
    return { stored, value: row };
  }

  /** The number of a topic that gets a message. The topic is created if necessary. */
  private numberOf(topic: string): number {
    const { recent, topics } = this.tables;
    let number = recent.numberOf(topic) ?? this.numbers.get(topic);
    if (number === undefined) this.numbers.set(topic, (number = topics.find(topic) ?? topics.create(topic)));
    return number;
  }

  /**
   * Removes messages.
   * @param until when their tombstones expire; null if none are left.
   * @returns how many were stored.
   */
  remove(ids: readonly Id[], until: number | null): number {
    const { tombstones } = this.tables;
    const gone: Buffer[] = [];
    let removed = 0;
    for (const id of ids) {
      if (this.removeStored(id)) removed++;
      else if (until !== null && (tombstones.until(id.bytes) ?? 0) >= until) continue;
      if (until === null) continue;
      tombstones.put(id.bytes, until);
      gone.push(id.bytes);
    }
    if (until !== null && gone.length > 0) {
      tombstones.list(gone, until);
      this.isChanged = true;
    }
    return removed;
  }

  /** @returns false if it is not stored. */
  private removeStored({ bytes, text }: Id): boolean {
    const { recent, log, byTopic, bodies, expiry } = this.tables;
    const known = recent.find(text);
    const stored = known ?? (text > recent.indexedTo ? null : log.find(bytes));
    if (stored === null) return false;
    const { topic, group, hasBody } = stored;
    log.remove(bytes);
    if (hasBody) bodies.remove(messageKey(topic, bytes));
    if (group === 0) expiry.remove(bytes, stored);
    else this.take(group, secondOf(expiryOf(stored) ?? 0));
    if (known === undefined || known.isIndexed) {
      byTopic.remove(messageKey(topic, bytes));
      this.countIndexed(topic, -1);
    }
    if (known !== undefined) recent.remove(known);
    this.losing.add(topic);
    this.isChanged = true;
    return true;
  }

  private take(group: number, second: number): void {
    const taken = this.taken.get(group);
    if (taken === undefined) this.taken.set(group, { second, by: 1 });
    else taken.by++;
  }

  private countIndexed(topic: number, change: 1 | -1): void {
    this.indexed.set(topic, (this.indexed.get(topic) ?? 0) + change);
  }

  /** Must be called when everything is saved or removed. */
  write(): void {
    const { topics, expiry, recent } = this.tables;
    for (const [topic, change] of this.indexed) topics.setIndexed(topic, topics.indexedOf(topic) + change);
    for (const [group, { second, by }] of this.taken) expiry.shrink(second, group, by);
    for (const topic of this.losing) if (recent.countNotIndexed(topic) === 0 && topics.indexedOf(topic) === 0) topics.remove(topic);
    recent.end(this.isChanged);
  }
}

/** By ascending id. They usually are in this order already. */
function inOrder(rows: readonly Row[]): readonly Row[] {
  for (let i = 1; i < rows.length; i++) {
    if ((rows[i - 1] as Row).text > (rows[i] as Row).text)
      return [...rows].sort((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : 0));
  }
  return rows;
}
