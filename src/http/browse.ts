import type { Message } from '../mqtt/message';
import type { HttpServices } from './services';
import type { Cursor } from './cursor';

type Readable = Pick<HttpServices['store'], 'listTopics' | 'listMessages'>;
type Purgeable = Readable & Pick<HttpServices['store'], 'removeMessages'>;

export interface Page {
  readonly messages: readonly Message[];
  readonly next: Cursor | null;
}

/** The first read of a topic; with payloads of 1 MB it is 25 MB. */
const FIRST_READ = 25;
const MAX_READ = 500;
/** What a read should bring, and where a page ends early, whatever the payloads are. */
const PAYLOAD_BYTES = 8 * 1024 * 1024;
const TOPICS = 100;
/** Topics whose messages have all expired may be many; a page ends early after so many without a message. */
const MAX_TOPICS = 2000;

export interface BrowseQuery {
  readonly limit: number;
  readonly now: number;
  readonly after: Cursor | null;
}

class PageBuilder {
  readonly messages: Message[] = [];
  private bytes = 0;

  constructor(
    private readonly store: Readable,
    private readonly query: BrowseQuery,
  ) {}

  /** Adds the topic's messages. @returns false when the page is full and there is at least one more. */
  async add(topic: string, after: string): Promise<boolean> {
    const { limit, now } = this.query;
    for (let [from, size] = [after, FIRST_READ]; ;) {
      // One more than needed: whether there is a next page is known without asking again.
      const count = Math.min(size, limit + 1 - this.messages.length);
      const read = await this.store.listMessages({ topic, after: from, limit: count, now });
      for (const message of read) {
        if (this.messages.length >= limit || this.bytes >= PAYLOAD_BYTES) return false;
        this.messages.push(message);
        this.bytes += message.payload.length;
        from = message.id;
      }
      if (read.length < count) return true;
      size = nextRead(read);
    }
  }

  page(more: boolean): Page {
    const last = this.messages.at(-1);
    return { messages: this.messages, next: more && last !== undefined ? { topic: last.topic, id: last.id } : null };
  }
}

export async function browseTopic(store: Readable, topic: string, query: BrowseQuery): Promise<Page> {
  const builder = new PageBuilder(store, query);
  return builder.page(!(await builder.add(topic, query.after?.id ?? '')));
}

/** Topic by topic in code point order. */
export async function browseFilter(store: Readable, filter: string, query: BrowseQuery): Promise<Page> {
  const builder = new PageBuilder(store, query);
  let topic = query.after?.topic ?? '';
  const begun = query.after?.id ?? null;
  if (begun !== null && !(await builder.add(topic, begun))) return builder.page(true);
  for (let seen = 0; seen < MAX_TOPICS;) {
    const topics = await store.listTopics({ filter, after: topic, limit: TOPICS });
    for (topic of topics) if (!(await builder.add(topic, ''))) return builder.page(true);
    if (topics.length < TOPICS) return builder.page(false);
    seen += topics.length;
  }
  return { messages: builder.messages, next: { topic, id: null } };
}

/** Removes every message whose topic matches, in pages. `onRemoved` hears after each page how many it has removed so far. @returns how many there were. */
export async function purge(
  store: Purgeable,
  filter: string,
  tombstoneUntil: number,
  onRemoved: (removed: number) => void = () => undefined,
): Promise<number> {
  let removed = 0;
  const add = (more: number) => onRemoved((removed += more));
  for (let topic = ''; ;) {
    const topics = await store.listTopics({ filter, after: topic, limit: TOPICS });
    for (topic of topics) await purgeTopic(store, topic, tombstoneUntil, add);
    if (topics.length < TOPICS) return removed;
  }
}

async function purgeTopic(store: Purgeable, topic: string, tombstoneUntil: number, onRemoved: (more: number) => void): Promise<void> {
  for (let [after, size] = ['', FIRST_READ]; ;) {
    // At time 0 nothing has expired: what has, but is still there, goes too.
    const messages = await store.listMessages({ topic, after, limit: size, now: 0 });
    const last = messages.at(-1);
    if (last === undefined) return;
    const removed = await store.removeMessages(
      messages.map(({ id }) => ({ topic, id })),
      tombstoneUntil,
    );
    onRemoved(removed);
    if (messages.length < size) return;
    [after, size] = [last.id, nextRead(messages)];
  }
}

/** As many as bring about PAYLOAD_BYTES when they are like these. */
function nextRead(messages: readonly Message[]): number {
  const bytes = messages.reduce((sum, { payload }) => sum + payload.length, 0);
  return Math.max(FIRST_READ, Math.min(MAX_READ, Math.floor((PAYLOAD_BYTES * messages.length) / Math.max(bytes, 1))));
}
