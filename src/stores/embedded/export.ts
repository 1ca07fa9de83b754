import type { SortedMap } from '../../embedded/table';
import type { Message } from '../../mqtt/message';
import type { ClientState, Position, Subscription } from '../store';
import { toState, type Clients } from './clients';
import { behind, type Database } from './database';
import type { Messages } from './messages';
import { toPosition, type Positions } from './positions';
import type { Retained } from './retained';
import { toSubscription } from './subscriptions';

/** A page with payloads ends behind the message that makes it so large. */
const MOST_PAGE_BYTES = 4_194_304;

/** What is asked with to go on where a page ended; null: at the beginning, or there is nothing more. */
export type Cursor = Buffer | null;

export interface Page<T> {
  readonly items: readonly T[];
  readonly next: Cursor;
}

/**
 * Everything that is kept, page by page in the order of its keys, for who moves it to another database: Store itself finds such things only by
 * their client, and no filter finds all topics. Between two pages anything may change.
 */
export class Export {
  constructor(
    private readonly db: Database,
    private readonly parts: {
      readonly messages: Messages;
      readonly positions: Positions;
      readonly clients: Clients;
      readonly retained: Retained;
    },
  ) {}

  /** Those with a stored message. */
  topics(after: Cursor, limit: number): Promise<Page<string>> {
    return this.page(this.parts.messages.topics.index.table, after, limit, (key) => [key.toString()]);
  }

  /** Of a topic, by ascending id, without those that have expired by `now` (ms). */
  async messages({ topic, now }: { readonly topic: string; readonly now: number }, after: Cursor, limit: number): Promise<Page<Message>> {
    const { messages } = this.parts;
    const refs = await messages.listRefs({ topic, after: after?.toString() ?? '', limit, now });
    const items: Message[] = [];
    let [last, bytes] = ['', 0];
    for (const { id } of refs) {
      const message = await messages.getMessage(id);
      last = id;
      if (message === null) continue;
      items.push(message);
      if ((bytes += message.payload.length) >= MOST_PAGE_BYTES) break;
    }
    return { items, next: refs.length < limit && last === (refs.at(-1)?.id ?? '') ? null : Buffer.from(last) };
  }

  positions(after: Cursor, limit: number): Promise<Page<Position>> {
    return this.page(this.parts.positions.table, after, limit, (key, value) => [toPosition(key, value)]);
  }

  clientStates(after: Cursor, limit: number): Promise<Page<ClientState>> {
    return this.page(this.parts.clients.states, after, limit, (key, value) => [toState(key, value)]);
  }

  /** With `seenAt`, unless they were assigned. */
  subscriptions(after: Cursor, limit: number): Promise<Page<Subscription>> {
    return this.page(this.parts.clients.subscriptions.table, after, limit, (key, value) => [toSubscription(key, value)]);
  }

  retained(after: Cursor, limit: number): Promise<Page<Message>> {
    const { retained } = this.parts;
    return this.page(
      retained.index.table,
      after,
      limit,
      (key, value) => retained.read(key.toString(), value),
      ({ payload }) => payload.length,
    );
  }

  private page<T>(
    table: SortedMap,
    after: Cursor,
    limit: number,
    decode: (key: Buffer, value: Buffer) => readonly T[],
    sizeOf: (item: T) => number = () => 0,
  ): Promise<Page<T>> {
    return this.db.read(() => {
      const items: T[] = [];
      let [last, seen, bytes] = [null as Cursor, 0, 0];
      for (const { key, value } of table.entries({ ...(after !== null && { from: behind(after) }), limit })) {
        [last, seen] = [key, seen + 1];
        const decoded = decode(key, value);
        items.push(...decoded);
        bytes += decoded.reduce((sum, item) => sum + sizeOf(item), 0);
        if (bytes >= MOST_PAGE_BYTES) return { items, next: last };
      }
      return { items, next: seen < limit ? null : last };
    });
  }
}
