import { NUMBER_BYTES, readNumber } from '../../embedded/keys';
import type { Range, Table } from '../../embedded/table';
import { timeOf, type Database } from './database';
import { expiresAt, publishReceivedAt } from './rows';

/** Flags, the number of the topic, and the number of the group or 0. The row follows. */
export const PREFIX_BYTES = 1 + 2 * NUMBER_BYTES;
const HAS_BODY = 1;

/** What is known of a stored message without its body. */
export interface Stored {
  /** The number of the message's topic. */
  readonly topic: number;
  /** Infinity if it never expires. */
  readonly expiresAt: number;
  readonly publishReceivedAt: number;
  /** The number of its group in the index of expiry; 0 if it has an entry of its own there, or never expires. */
  readonly group: number;
  /** Whether the body is stored separately from the row. */
  readonly hasBody: boolean;
}

/** When the message expires, as a time of timeOf(); null if it never does. */
export const expiryOf = ({ expiresAt }: Pick<Stored, 'expiresAt'>): number | null => (expiresAt === Infinity ? null : timeOf(expiresAt));

/**
 * All messages by id. Ids ascend with time, so what is saved together lies on the same few pages of the file, whatever
 * its topics are.
 */
export class Log {
  private readonly table: Table;

  constructor(db: Database) {
    this.table = db.table('log');
  }

  get count(): number {
    return this.table.count;
  }

  has(id: Buffer): boolean {
    return this.table.has(id);
  }

  /** Reads no body. */
  find(id: Buffer): Stored | null {
    const value = this.table.peek(id);
    return value === undefined ? null : read(value);
  }

  /** The message's row after PREFIX_BYTES bytes. The next read of any table overwrites it, so it must be read at once. */
  peek(id: Buffer): Buffer | null {
    return this.table.peek(id) ?? null;
  }

  /** The greatest id; null if there is none. */
  last(): Buffer | null {
    return this.table.last() ?? null;
  }

  /** What is stored in the order of the ids. Reads no body. */
  *entries(range: Range): Generator<{ readonly id: Buffer; readonly stored: Stored }> {
    for (const id of this.table.keys(range)) {
      const stored = this.find(id);
      if (stored !== null) yield { id, stored };
    }
  }

  /** @param value the row after PREFIX_BYTES bytes, which this method fills. */
  put(id: Buffer, stored: Stored, value: Buffer): void {
    this.table.put(id, prefixed(stored, value));
  }

  /** Like put(). The id must be greater than last(). */
  append(id: Buffer, stored: Stored, value: Buffer): void {
    this.table.append(id, prefixed(stored, value));
  }

  remove(id: Buffer): void {
    this.table.remove(id);
  }
}

function prefixed({ topic, group, hasBody }: Stored, value: Buffer): Buffer {
  value[0] = hasBody ? HAS_BODY : 0;
  value.writeUIntBE(topic, 1, NUMBER_BYTES);
  value.writeUIntBE(group, 1 + NUMBER_BYTES, NUMBER_BYTES);
  return value;
}

/** The number of the topic of a message that peek() has returned. */
export const topicOf = (value: Buffer): number => readNumber(value, 1);

function read(value: Buffer): Stored {
  return {
    topic: topicOf(value),
    expiresAt: expiresAt(value, PREFIX_BYTES),
    publishReceivedAt: publishReceivedAt(value, PREFIX_BYTES),
    group: readNumber(value, 1 + NUMBER_BYTES),
    hasBody: value[0] === HAS_BODY,
  };
}
