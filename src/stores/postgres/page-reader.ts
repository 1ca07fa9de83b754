import type { Message } from '../../mqtt/message';
import type { MessageQuery } from '../store';
import type { Database } from './database';
import { COLUMNS, toMessage, type MessageRow } from './rows';
import { besideKey, ID, KEY, keyOf } from './topic-index';

/** How many topics one statement reads. */
const TOPICS = 32;

interface Waiting {
  readonly query: MessageQuery;
  readonly resolve: (messages: Message[]) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Reads pages of many topics with one statement: all that are requested in the same turn of the event loop. When a
 * thousand clients come back, each with its own topic, one statement per topic would cost more than the reading itself.
 */
export class PageReader {
  private waiting: Waiting[] = [];

  constructor(
    private readonly db: Database,
    private readonly single: (query: MessageQuery) => Promise<Message[]>,
  ) {}

  read(query: MessageQuery): Promise<Message[]> {
    return new Promise((resolve, reject) => {
      if (this.waiting.push({ query, resolve, reject }) === 1) setImmediate(() => this.flush());
    });
  }

  private flush(): void {
    const all = this.waiting;
    this.waiting = [];
    for (let i = 0; i < all.length; i += TOPICS) void this.readAll(all.slice(i, i + TOPICS));
  }

  private async readAll(some: readonly Waiting[]): Promise<void> {
    const [first, ...others] = some;
    if (first === undefined) return;
    try {
      const pages = others.length === 0 ? [await this.single(first.query)] : await this.pages(some.map(({ query }) => query));
      some.forEach(({ resolve }, i) => resolve(pages[i] ?? []));
    } catch (error) {
      for (const { reject } of some) reject(error);
    }
  }

  private async pages(queries: readonly MessageQuery[]): Promise<Message[][]> {
    const pages = queries.map((): Message[] => []);
    const rows = await this.db.rows<MessageRow & { readonly page: number }>(PAGES, {
      keys: queries.map(({ topic }) => keyOf(topic)),
      topics: queries.map(({ topic }) => (besideKey(topic) === '' ? null : topic)),
      afters: queries.map(({ after }) => after),
      limits: queries.map(({ limit }) => limit),
      nows: queries.map(({ now }) => now),
    });
    for (const row of rows) pages[row.page - 1]?.push(toMessage(row, row.retain === 1));
    return pages;
  }
}

/** Like the statement for one topic: the range makes the planner use the index of topics and ids. */
const PAGES = `
  SELECT asked.page::int, found.* FROM unnest(:keys::text[], :topics::text[], :afters::text[], :limits::int[], :nows::bigint[])
    WITH ORDINALITY AS asked(key, exact, after, most, now, page)
  CROSS JOIN LATERAL (
    SELECT ${COLUMNS}, retain FROM mqtt_msg
    WHERE (${KEY}, ${ID}) > (asked.key, asked.after) AND ${KEY} <= asked.key AND (asked.exact IS NULL OR topic = asked.exact) AND (expires_at IS NULL OR expires_at > asked.now)
    ORDER BY ${KEY}, ${ID} LIMIT asked.most) AS found
  ORDER BY asked.page, found.msgid COLLATE "C"`;
