import type { SortedMap } from '../../embedded/table';
import type { Message } from '../../mqtt/message';
import type { ClientState, Position, Subscription } from '../store';
import { toState, type Clients } from './clients';
import { behind, type Database } from './database';
import type { Messages } from './messages';
import { toPosition, type Positions } from './positions';
import type { Retained } from './retained';
import { toSubscription } from './subscriptions';

/** A page with payloads ends after the message with which it reaches this size. */
const MOST_PAGE_BYTES = 4_194_304;

/** Where the next page begins. null as an argument: at the beginning. null as a result: there is nothing more. */
export type Cursor = Buffer | null;

export interface Page<T> {
  readonly items: readonly T[];
  readonly next: Cursor;
}

/**
 * Everything that is stored, page by page in the order of its keys, for moving it to another database. Store can't be
 * used for that, because it finds some data only by client, and no filter matches all topics. Data may change between
 * two pages.
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

  /** Topics with a stored message. */
  topics(after: Cursor, limit: number): Promise<Page<string>> {
    return this.page(this.parts.messages.tables.topics.index.table, after, limit, (key) => [key.toString()]);
  }

  /** Messages of a topic by ascending id, without those that have expired at `now` (ms). */
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

  /** With `seenAt`, except assigned subscriptions. */
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
