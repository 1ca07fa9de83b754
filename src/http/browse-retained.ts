import type { Message } from '../mqtt/message';
import type { HttpServices } from './services';

/** How many messages one read of the store asks for. With payloads of 1 MB they have 25 MB. */
const READ = 25;
/** A page ends early when its payloads have this many bytes, or after this many topics. */
const PAYLOAD_BYTES = 8 * 1024 * 1024;
const MAX_TOPICS = 2_000;

export interface RetainedQuery {
  readonly filter: string;
  /** The topic after which the page starts; '' for the first page. */
  readonly after: string;
  readonly limit: number;
  readonly now: number;
  /**
   * Whether the current policy keeps the retained message of the topic. Messages that an earlier policy kept are not
   * shown.
   */
  readonly isKept: (topic: string) => boolean;
}

export interface RetainedPage {
  readonly messages: readonly Message[];
  /** The topic after which the next page starts; null if this is the last page. */
  readonly next: string | null;
}

/**
 * Lists retained messages in the order of their topics. Expired messages are left out, even if the store still has
 * them.
 */
export async function browseRetained(store: Pick<HttpServices['store'], 'listRetained'>, query: RetainedQuery): Promise<RetainedPage> {
  const { filter, limit, now, isKept } = query;
  const messages: Message[] = [];
  let bytes = 0;
  let after = query.after;
  for (let seen = 0; seen < MAX_TOPICS;) {
    const read = await store.listRetained({ filter, after, limit: Math.min(READ, limit + 1 - messages.length) });
    // Only an empty read is the end. A read may be short because messages were deleted meanwhile.
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
