import { RefusedError, RetryableError } from '../base/errors';
import { eachOf } from '../base/parallel';
import type { Delivery, PublishOutcome } from './api';

/** Questions to EMQX at a time. */
const PARALLEL = 16;
/** About as long as a pass sends: a client is asked about once for each. ms. */
const KNOWN_MS = 1_000;

export interface PresenceDeps {
  readonly isThere: (clientid: string, signal: AbortSignal) => Promise<boolean>;
  readonly publish: (messages: readonly Delivery[], signal: AbortSignal) => Promise<PublishOutcome[]>;
  readonly now: () => number;
}

/** EMQX 4 answers the same whether or not anybody is subscribed: before it publishes for a client, EMQX is asked whether the client is there. */
export class Presence {
  /** Clients that were there, and until when that is believed. */
  private known = new Map<string, number>();

  constructor(private readonly deps: PresenceDeps) {}

  /** As EmqxApi.publish. */
  async publish(messages: readonly Delivery[], signal: AbortSignal): Promise<PublishOutcome[]> {
    const absent = await this.absent(messages, signal);
    const reasons = messages.map((message) => impossible(message) ?? absent.get(message.clientid ?? '') ?? null);
    const possible = messages.filter((_, i) => reasons[i] === null);
    const first = reasons.find((reason) => reason?.result === 'unsent');
    // Nothing can be published, and EMQX could not say why: the caller hears of it at once.
    if (possible.length === 0 && first?.result === 'unsent' && reasons.every((reason) => reason?.result === 'unsent')) throw first.error;
    const outcomes = possible.length === 0 ? [] : await this.deps.publish(possible, signal);
    let next = 0;
    return reasons.map((reason) => reason ?? (outcomes[next++] as PublishOutcome));
  }

  /** What fails for one client is the outcome of its messages alone (promise 20). */
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
        // No path can name the client (`..`): it subscribed, so that it is taken for present.
        if (error instanceof RefusedError) return;
        if (!(error instanceof RetryableError)) throw error;
        absent.set(clientid, { result: 'unsent', error });
      }
    });
    return absent;
  }
}

/** EMQX 4 would publish to each of the parts, which are other topics. */
function impossible({ topic }: Delivery): PublishOutcome | null {
  if (!topic.includes(',')) return null;
  return {
    result: 'refused',
    reason: "the topic has a comma, and EMQX 4's REST API takes a comma for the end of a topic; use another topic, or EMQX 5",
  };
}
