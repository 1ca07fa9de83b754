import { RefusedError, RetryableError } from '../base/errors';
import { eachOf } from '../base/parallel';
import type { Delivery, PublishOutcome } from './api';

/** Parallel questions to EMQX. */
const PARALLEL = 16;
/** How long an answer is used (ms): about as long as one pass sends, so that each pass asks once about a client. */
const KNOWN_MS = 1_000;

export interface PresenceDeps {
  readonly isThere: (clientid: string, signal: AbortSignal) => Promise<boolean>;
  readonly publish: (messages: readonly Delivery[], signal: AbortSignal) => Promise<PublishOutcome[]>;
  readonly now: () => number;
}

/**
 * Asks EMQX whether a client is connected before publishing for it, because EMQX 4 gives the same answer whether or not
 * anybody is subscribed.
 */
export class Presence {
  /** Clients that were connected, and until when that is assumed (ms). */
  private known = new Map<string, number>();

  constructor(private readonly deps: PresenceDeps) {}

  /** Like EmqxApi.publish. */
  async publish(messages: readonly Delivery[], signal: AbortSignal): Promise<PublishOutcome[]> {
    const absent = await this.absent(messages, signal);
    const reasons = messages.map((message) => impossible(message) ?? absent.get(message.clientid ?? '') ?? null);
    const possible = messages.filter((_, i) => reasons[i] === null);
    const first = reasons.find((reason) => reason?.result === 'unsent');
    // If no message can be published because EMQX gave no answer, the error is thrown.
    if (possible.length === 0 && first?.result === 'unsent' && reasons.every((reason) => reason?.result === 'unsent')) throw first.error;
    const outcomes = possible.length === 0 ? [] : await this.deps.publish(possible, signal);
    let next = 0;
    return reasons.map((reason) => reason ?? (outcomes[next++] as PublishOutcome));
  }

  /** An error for one client concerns only that client's messages (promise 20). */
  private async absent(messages: readonly Delivery[], signal: AbortSignal): Promise<Map<string, PublishOutcome>> {
    const now = this.deps.now();
    for (const [clientid, until] of this.known) if (until <= now) this.known.delete(clientid);
    const asked = [...new Set(messages.flatMap(({ clientid }) => clientid ?? []))].filter((clientid) => !this.known.has(clientid));
    const absent = new Map<string, PublishOutcome>();
    await eachOf(asked, PARALLEL, async (clientid) => {
      try {
        if (await this.deps.isThere(clientid, signal)) this.known.set(clientid, now + KNOWN_MS);
        else absent.set(clientid, { result: 'no-subscribers' });
      } catch (error) {
        // The API can't name this client in a path (`..`). It has subscribed, so it is taken for connected.
        if (error instanceof RefusedError) return;
        if (!(error instanceof RetryableError)) throw error;
        absent.set(clientid, { result: 'unsent', error });
      }
    });
    return absent;
  }
}

/** EMQX 4 splits a topic at its commas and would publish to other topics. */
function impossible({ topic }: Delivery): PublishOutcome | null {
  if (!topic.includes(',')) return null;
  return {
    result: 'refused',
    reason: "the topic has a comma, and EMQX 4's REST API takes a comma for the end of a topic; use another topic, or EMQX 5",
  };
}
