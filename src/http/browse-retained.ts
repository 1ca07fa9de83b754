import type { Message } from '../mqtt/message';
import type { HttpServices } from './services';

/** One read: with payloads of 1 MB it is 25 MB. */
const READ = 25;
/** Where a page ends early, whatever the payloads are, and after how many topics that have nothing to show. */
const PAYLOAD_BYTES = 8 * 1024 * 1024;
const MAX_TOPICS = 2_000;

export interface RetainedQuery {
  readonly filter: string;
  /** A topic; '' starts at the beginning. */
  readonly after: string;
  readonly limit: number;
  readonly now: number;
  /** Whether the topic's policy now keeps retained messages; what an earlier policy kept is not shown. */
  readonly isKept: (topic: string) => boolean;
}

export interface RetainedPage {
  readonly messages: readonly Message[];
  /** The topic to go on behind; null at the end. */
  readonly next: string | null;
}

/** Retained messages in the order of their topics; what has expired is not there, though the store may still have it. */
export async function browseRetained(store: Pick<HttpServices['store'], 'listRetained'>, query: RetainedQuery): Promise<RetainedPage> {
  const { filter, limit, now, isKept } = query;
  const messages: Message[] = [];
  let bytes = 0;
  let after = query.after;
  for (let seen = 0; seen < MAX_TOPICS;) {
    const read = await store.listRetained({ filter, after, limit: Math.min(READ, limit + 1 - messages.length) });
    // A shorter read is not the end: what it began with may have gone meanwhile.
    if (read.length === 0) return { messages, next: null };
    for (const message of read) {
      if (message.payload.length > 0 && isKept(message.topic) && (message.expiresAt === null || message.expiresAt > now)) {
        if (messages.length >= limit || bytes >= PAYLOAD_BYTES) return { messages, next: after };
        messages.push(message);
        bytes += message.payload.length;
      }
      after = message.topic;
    }
    seen += read.length;
  }
  return { messages, next: after };
}
