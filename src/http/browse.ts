import type { Message } from '../mqtt/message';
import type { HttpServices } from './services';
import type { Cursor } from './cursor';

type Readable = Pick<HttpServices['store'], 'listTopics' | 'listMessages'>;
type Purgeable = Readable & Pick<HttpServices['store'], 'removeMessages'>;

export interface Page {
  readonly messages: readonly Message[];
  readonly next: Cursor | null;
}

/** How many messages the first read of a topic asks for. With payloads of 1 MB they have 25 MB. */
const FIRST_READ = 25;
const MAX_READ = 500;
/** About how many bytes of payloads a read should return. A page with more bytes ends early. */
const PAYLOAD_BYTES = 8 * 1024 * 1024;
const TOPICS = 100;
/** A page ends early after this many topics, because there may be many topics whose messages have all expired. */
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

  /** Adds the messages of the topic. @returns false if the page is full and there is at least one more message. */
  async add(topic: string, after: string): Promise<boolean> {
    const { limit, now } = this.query;
    for (let [from, size] = [after, FIRST_READ]; ;) {
      // The read asks for one message more than needed, to know whether there is a next page.
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

/** Lists the messages of all topics that match the filter. The topics are in code point order. */
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

/**
 * Deletes every message whose topic matches the filter, page by page.
 * @param tombstoneUntil how long the ids of the deleted messages are remembered (ms since 1970).
 * @param onRemoved is called after each page with the number of messages that were deleted so far.
 * @returns the number of deleted messages.
 */
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
    // At time 0 no message has expired. So expired messages that are still in the store are deleted as well.
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

/** How many messages of the size of these have about PAYLOAD_BYTES. */
function nextRead(messages: readonly Message[]): number {
  const bytes = messages.reduce((sum, { payload }) => sum + payload.length, 0);
  return Math.max(FIRST_READ, Math.min(MAX_READ, Math.floor((PAYLOAD_BYTES * messages.length) / Math.max(bytes, 1))));
}
