import type { SortedMap } from '../../embedded/table';
import type { Message } from '../../mqtt/message';
import type { ClientState, Position, Subscription } from '../store';
import { toState, type Clients } from './clients';
import { behind, type Database } from './database';
import { toPosition, type Positions } from './positions';
import type { Retained } from './retained';
import { toSubscription } from './subscriptions';
import type { TopicIndex } from './topic-index';

/** What is asked with to go on where a page ended; null: at the beginning, or there is nothing more. */
export type Cursor = Buffer | null;

export interface Page<T> {
  readonly items: readonly T[];
  readonly next: Cursor;
}

/**
 * Everything that is kept, page by page in the order of its keys, for who moves it to another database: Store itself finds such things only by
 * their client, and no filter finds all topics. A page is read at once; between two pages anything may change. Messages come by topic, with listMessages.
 */
export class Export {
  constructor(
    private readonly db: Database,
    private readonly parts: { readonly topics: TopicIndex; readonly positions: Positions; readonly clients: Clients; readonly retained: Retained },
  ) {}

  /** Those with a stored message. */
  topics(after: Cursor, limit: number): Promise<Page<string>> {
    return this.page(this.parts.topics.table, after, limit, (key) => [key.toString()]);
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
    return this.page(retained.index.table, after, limit, (key, value) => retained.read(key.toString(), value));
  }

  private page<T>(table: SortedMap, after: Cursor, limit: number, decode: (key: Buffer, value: Buffer) => readonly T[]): Promise<Page<T>> {
    return this.db.read(() => {
      const entries = [...table.entries({ ...(after !== null && { from: behind(after) }), limit })];
      return { items: entries.flatMap(({ key, value }) => decode(key, value)), next: entries.length < limit ? null : (entries.at(-1)?.key ?? null) };
    });
  }
}
