import { NUMBER_BYTES, readNumber } from '../../embedded/keys';
import type { Table } from '../../embedded/table';
import type { Database } from './database';

/** The limit of an id. A time, a topic's number and an id form a key, which has at most 1,978 bytes. */
const MOST_ID_BYTES = 1_024;
/** Flags in the first byte of an entry. */
const [TOMBSTONE, STORED, HAS_BODY, EXPIRES] = [0, 1, 2, 4];

/** A stored message or a tombstone. Times are those of timeOf(). */
export type IdEntry = Stored | { readonly topic: null; readonly until: number };

export interface Stored {
  /** The number of the message's topic. */
  readonly topic: number;
  /** null if it never expires. */
  readonly expires: number | null;
  /** Whether the body is stored separately from the row. */
  readonly hasBody: boolean;
}

/** The entries of all ids. One read tells whether a message is stored, where, and whether a tombstone forbids it. */
export class Ids {
  private readonly table: Table;

  constructor(db: Database) {
    this.table = db.table('ids');
  }

  get(id: Buffer): IdEntry | null {
    const entry = this.table.get(id);
    return entry === undefined ? null : this.read(entry);
  }

  /** The entries in the order of their ids, from this key on. */
  *entries(from: Buffer, limit: number): Generator<{ readonly id: Buffer; readonly entry: IdEntry }> {
    for (const { key, value } of this.table.entries({ from, limit })) yield { id: key, entry: this.read(value) };
  }

  private read(entry: Buffer): IdEntry {
    const flags = entry[0] ?? 0;
    const number = readNumber(entry, 1);
    if (flags === TOMBSTONE) return { topic: null, until: number };
    return {
      topic: number,
      expires: (flags & EXPIRES) === 0 ? null : readNumber(entry, 1 + NUMBER_BYTES),
      hasBody: (flags & HAS_BODY) !== 0,
    };
  }

  putStored(id: Buffer, { topic, expires, hasBody }: Stored): void {
    const entry = Buffer.allocUnsafe(1 + NUMBER_BYTES + (expires === null ? 0 : NUMBER_BYTES));
    entry[0] = STORED | (hasBody ? HAS_BODY : 0) | (expires === null ? 0 : EXPIRES);
    entry.writeUIntBE(topic, 1, NUMBER_BYTES);
    if (expires !== null) entry.writeUIntBE(expires, 1 + NUMBER_BYTES, NUMBER_BYTES);
    this.table.put(id, entry);
  }

  putTombstone(id: Buffer, until: number): void {
    const entry = Buffer.allocUnsafe(1 + NUMBER_BYTES);
    entry[0] = TOMBSTONE;
    entry.writeUIntBE(until, 1, NUMBER_BYTES);
    this.table.put(id, entry);
  }

  remove(id: Buffer): void {
    this.table.remove(id);
  }
}

/** null if no message can have this id. */
export function idBytes(id: string): Buffer | null {
  const bytes = Buffer.from(id);
  return bytes.length === 0 || bytes.length > MOST_ID_BYTES ? null : bytes;
}

/**
 * The first key after the id among the keys of the topic. The id may be of any length, because only MOST_ID_BYTES of it
 * are used, and no stored id is longer.
 */
export function keyBehind(topic: number, id: string): Buffer {
  if (id === '') return messageKey(topic, Buffer.alloc(0));
  return Buffer.concat([messageKey(topic, Buffer.from(id).subarray(0, MOST_ID_BYTES)), Buffer.alloc(1)]);
}

/** A message's key in the table that keeps messages in order. */
export function messageKey(topic: number, id: Buffer): Buffer {
  const key = Buffer.allocUnsafe(NUMBER_BYTES + id.length);
  key.writeUIntBE(topic, 0, NUMBER_BYTES);
  id.copy(key, NUMBER_BYTES);
  return key;
}

export const idOf = (key: Buffer): Buffer => key.subarray(NUMBER_BYTES);
