import type { Message } from '../../../src/mqtt/message';

/** The client library's own way to insert and delete many rows, in tables of its own. */
export interface Plain {
  /** Inserts into a table without an index, or with its key only where the database has no other tables. */
  readonly insert: (messages: readonly Message[]) => Promise<unknown>;
  /** Inserts into the table that remove() deletes from. Its only key is the id. */
  readonly insertKeyed: (messages: readonly Message[]) => Promise<unknown>;
  /** Deletes by key. */
  readonly remove: (ids: readonly string[]) => Promise<unknown>;
  readonly close: () => Promise<unknown>;
}

export type MakePlain = (url: string) => Promise<Plain>;

export const TABLE = 'plain_msg';
export const KEYED = 'plain_keyed';

/** The columns in the order of values(). */
export const COLUMNS = ['msgid', 'topic', 'sender', 'qos', 'retain', 'payload', 'arrived', 'expires_at'] as const;

export const values = ({ id, topic, clientid, qos, retain, payload, publishReceivedAt, expiresAt }: Message) =>
  [id, topic, clientid, qos, retain ? 1 : 0, payload, publishReceivedAt, expiresAt] as const;

export const row = (message: Message) => {
  const [msgid, topic, sender, qos, retain, payload, arrived, expires_at] = values(message);
  return { msgid, topic, sender, qos, retain, payload: payload.toString(), arrived, expires_at };
};
