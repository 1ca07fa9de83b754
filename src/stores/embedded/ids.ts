import { NUMBER_BYTES, readNumber } from '../../embedded/keys';
import type { Table } from '../../embedded/table';
import type { Database } from './database';

/** Behind a time and a topic's number an id is a part of a key, which has at most 1,978 bytes. */
const MOST_ID_BYTES = 1_024;
/** The first byte of an entry. */
const [TOMBSTONE, STORED, HAS_BODY, EXPIRES] = [0, 1, 2, 4];

/** A stored message, or a tombstone. Times are those of timeOf(). */
export type IdEntry = Stored | { readonly topic: null; readonly until: number };

export interface Stored {
  /** The number of its topic. */
  readonly topic: number;
  /** null: never. */
  readonly expires: number | null;
  /** Whether its body is kept apart from its row. */
  readonly hasBody: boolean;
}

/** What is known of an id: one look tells whether it is stored, where, and whether it may be. */
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

/** null: it can't be a message's id. */
export function idBytes(id: string): Buffer | null {
  const bytes = Buffer.from(id);
  return bytes.length === 0 || bytes.length > MOST_ID_BYTES ? null : bytes;
}

/** The first key behind the id, whatever that is, among those that begin with the topic's number: no id is longer than what is left of it. */
export function keyBehind(topic: number, id: string): Buffer {
  if (id === '') return messageKey(topic, Buffer.alloc(0));
  return Buffer.concat([messageKey(topic, Buffer.from(id).subarray(0, MOST_ID_BYTES)), Buffer.alloc(1)]);
}

/** A message's key where messages are in their order. */
export function messageKey(topic: number, id: Buffer): Buffer {
  const key = Buffer.allocUnsafe(NUMBER_BYTES + id.length);
  key.writeUIntBE(topic, 0, NUMBER_BYTES);
  id.copy(key, NUMBER_BYTES);
  return key;
}

export const idOf = (key: Buffer): Buffer => key.subarray(NUMBER_BYTES);
