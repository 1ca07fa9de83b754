import { NUMBER_BYTES, numberKey, readNumber } from '../../embedded/keys';
import type { Table } from '../../embedded/table';
import { behind, timeOf, type Database } from './database';
import { idOf, messageKey, type Id } from './ids';
import { expiryOf, type Log, type Stored } from './log';
import type { Meta } from './meta';
import { TimeIndex } from './time-index';

/** A group has at most so many messages, because all of them are read in one transaction. */
const MOST_GROUPED = 1_000;
/**
 * At least one of so many ids between a group's first and its last one belongs to the group, because a purge reads all
 * of these ids.
 */
const SPREAD = 4;
const SECOND_MS = 1_000;

/** A message that is saved with an id greater than all others. */
interface Appended extends Id {
  /** null if it never expires. A time of timeOf(). */
  readonly expires: number | null;
}

/** Messages that expire within the same second. `members` are their places in the list of appended messages. */
interface Group {
  readonly second: number;
  readonly members: number[];
}

/**
 * Tells which messages expire when. Messages that are saved together often expire within the same second, and hardly
 * any other id lies between theirs. They form a group, which is one entry here: the second and the number of the group,
 * how many of its messages are left, and its first and last id. The entry is removed with the group's last message.
 * Every other message has an entry of its own, as all messages had in format 1.
 */
export class Expiry {
  private readonly singles: TimeIndex;
  private readonly groups: Table;

  constructor(
    db: Database,
    private readonly meta: Meta,
    private readonly log: Log,
  ) {
    this.singles = new TimeIndex(db.table('expiry'), 'message');
    this.groups = db.table('expiry-groups');
  }

  /**
   * Makes groups of messages whose ids ascend and are greater than all ids in the store. So only messages of the same
   * list lie between the ids of a group, and later those that arrive late.
   * @returns the number of each message's group; 0 if it is in none. Such a message needs add().
   */
  group(appended: readonly Appended[]): readonly number[] {
    const numbers = Array<number>(appended.length).fill(0);
    for (const { second, members } of groupsOf(appended)) {
      const [first, last] = [members[0] ?? 0, members.at(-1) ?? 0];
      if (members.length === 1 || last - first >= SPREAD * members.length) continue;
      const number = this.meta.nextNumber();
      for (const member of members) numbers[member] = number;
      this.groups.put(
        groupKey(second, number),
        toValue(members.length, (appended[first] as Appended).bytes, (appended[last] as Appended).bytes),
      );
    }
    return numbers;
  }

  /** Adds a message that is in no group. */
  add(id: Buffer, stored: Stored): void {
    const expires = expiryOf(stored);
    if (expires !== null) this.singles.add(expires, messageKey(stored.topic, id));
  }

  /** Removes a message that is in no group. */
  remove(id: Buffer, stored: Stored): void {
    const expires = expiryOf(stored);
    if (expires !== null) this.singles.remove(expires, messageKey(stored.topic, id));
  }

  /** Takes messages out of their group. */
  shrink(second: number, number: number, by: number): void {
    const key = groupKey(second, number);
    const value = this.groups.get(key);
    if (value === undefined) return;
    const count = readNumber(value) - by;
    if (count <= 0) this.groups.remove(key);
    else {
      value.writeUIntBE(count, 0, NUMBER_BYTES);
      this.groups.put(key, value);
    }
  }

  /** The ids of up to `limit` messages that have expired. */
  due(now: number, limit: number): Buffer[] {
    const ids = this.singles.due(now, limit).map(({ key }) => idOf(key));
    const until = timeOf(now);
    for (const { key, value } of this.groups.entries({ to: numberKey(secondOf(until) + 1) })) {
      const group = readNumber(key, NUMBER_BYTES);
      for (const { id, stored } of this.log.entries(idsIn(value))) {
        if (ids.length >= limit) return ids;
        if (stored.group === group && (expiryOf(stored) ?? Infinity) <= until) ids.push(id);
      }
    }
    return ids;
  }
}

/** The second in which a message expires. */
export const secondOf = (expires: number): number => Math.floor(expires / SECOND_MS);

function groupsOf(appended: readonly Appended[]): Group[] {
  const groups: Group[] = [];
  const open = new Map<number, Group>();
  for (const [i, { expires }] of appended.entries()) {
    if (expires === null) continue;
    const second = secondOf(expires);
    let group = open.get(second);
    if (group === undefined || group.members.length >= MOST_GROUPED) {
      group = { second, members: [] };
      open.set(second, group);
      groups.push(group);
    }
    group.members.push(i);
  }
  return groups;
}

const groupKey = (second: number, number: number): Buffer => Buffer.concat([numberKey(second), numberKey(number)]);

/** How many messages are left, the length of the first id, the first id and the last one. */
function toValue(count: number, first: Buffer, last: Buffer): Buffer {
  return Buffer.concat([numberKey(count), numberKey(first.length), first, last]);
}

function idsIn(value: Buffer): { readonly from: Buffer; readonly to: Buffer } {
  const start = 2 * NUMBER_BYTES;
  const end = start + readNumber(value, NUMBER_BYTES);
  return { from: value.subarray(start, end), to: behind(value.subarray(end)) };
}
