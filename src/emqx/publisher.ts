import { RetryableError } from '../base/errors';
import type { Delivery, PublishOutcome } from './api';
import { withRetries, type Backoff } from './backoff';
import { LostAnswerError } from './http';
import { bulksOf, MAX_BULK_BYTES, type EncodedMessage } from './publish-body';
import type { PublishAnswer } from './v5-answer';

export interface PublisherDeps {
  /**
   * Sends one request.
   * @throws RetryableError if the answer decides nothing.
   */
  readonly send: (messages: readonly EncodedMessage[], signal: AbortSignal) => Promise<PublishAnswer>;
  /** Whether EMQX works apart from the messages that were just sent. */
  readonly isHealthy: (signal: AbortSignal) => Promise<boolean>;
  readonly backoff: Backoff;
  /** Default: the format of EMQX 5. */
  readonly encode?: (message: Delivery) => EncodedMessage;
}

/** EMQX answered 500 with an empty body, because its handler crashed. */
class CrashedError extends RetryableError {}

/**
 * EMQX has published what it could, but could not pass the other messages to any subscriber: their clients are
 * overloaded or just disconnecting.
 */
class NotDispatchedError extends RetryableError {}

/** A message that is being published. Its outcome is set when an answer decides it. */
interface Item {
  readonly message: EncodedMessage;
  outcome: PublishOutcome | null;
}

/** Publishes in bulks, in order, until every message has an outcome. Bad messages are found by halving a bulk. */
export class Publisher {
  constructor(private readonly deps: PublisherDeps) {}

  /**
   * If something goes wrong after the first bulk, no error is thrown, so that the outcomes of the other messages are
   * not lost.
   */
  async publish(messages: readonly Delivery[], signal: AbortSignal): Promise<PublishOutcome[]> {
    const outcomes: PublishOutcome[] = [];
    const stuck = new Map<string, RetryableError>();
    for (const bulk of bulksOf(messages, this.deps.encode)) {
      const from = outcomes.length;
      const topicOf = (i: number): string => messages[from + i]?.topic ?? '';
      const items = bulk.map((message, i): Item => ({ message, outcome: unsentIf(stuck.get(topicOf(i))) }));
      const trouble = await this.settle(items, signal).then(() => null, asRetryable);
      if (trouble instanceof NotDispatchedError) {
        // Only the clients of these topics have to wait. Later messages of such a topic must not overtake the unsent
        // ones (promise 6).
        for (const [i, { outcome }] of items.entries()) if (outcome === null) stuck.set(topicOf(i), trouble);
        outcomes.push(...items.map(({ outcome }) => outcome ?? { result: 'unsent' as const, error: trouble }));
        continue;
      }
      if (trouble === null) {
        outcomes.push(...items.flatMap(({ outcome }) => outcome ?? []));
        continue;
      }
      const isLost = trouble instanceof LostAnswerError;
      if (!isLost && outcomes.length === 0 && items.every(({ outcome }) => outcome === null)) throw trouble;
      outcomes.push(
        ...items.map(({ outcome }) => outcome ?? (isLost ? { result: 'unknown' as const } : { result: 'unsent' as const, error: trouble })),
      );
      while (outcomes.length < messages.length) outcomes.push({ result: 'unsent', error: trouble });
      return outcomes;
    }
    return outcomes;
  }

  private async settle(items: readonly Item[], signal: AbortSignal): Promise<void> {
    if (items.every(({ outcome }) => outcome !== null)) return;
    const refusal = await this.send(items, signal);
    if (refusal === null) return;
    const rest = items.filter(({ outcome }) => outcome === null);
    const [first] = rest;
    if (rest.length === 1 && first !== undefined) {
      first.outcome = { result: 'refused', reason: refusal };
      return;
    }
    // Nothing of a rejected bulk was published, so sending its halves sends nothing twice. One half after the other
    // keeps the order.
    const middle = Math.ceil(rest.length / 2);
    await this.settle(rest.slice(0, middle), signal);
    await this.settle(rest.slice(middle), signal);
  }

  /** @returns null if every item has its outcome, otherwise why EMQX accepted none of those without an outcome. */
  private async send(items: readonly Item[], signal: AbortSignal): Promise<string | null> {
    try {
      // After a lost answer there is no retry, because EMQX may have published the messages and the client may have
      // acknowledged them.
      return await withRetries(
        this.deps.backoff,
        signal,
        () => this.sendOnce(items, signal),
        (error) => error instanceof LostAnswerError,
      );
    } catch (error) {
      // A message that makes a healthy EMQX crash each time must not hold back the messages after it (promise 13).
      if (error instanceof CrashedError && (await this.deps.isHealthy(signal))) return `${error.message}, each time`;
      throw error;
    }
  }

  private async sendOnce(items: readonly Item[], signal: AbortSignal): Promise<string | null> {
    // After a 503 only the messages that reached nobody are sent again, so that the others are not duplicated.
    const open = items.filter(({ outcome }) => outcome === null);
    const answer = await this.deps.send(
      open.map(({ message }) => message),
      signal,
    );
    if (answer.kind === 'refused') return answer.reason;
    if (answer.kind === 'crashed') {
      const tooLarge = open.some(({ message }) => message.bytes > MAX_BULK_BYTES);
      // Halving finds the message that caused it. A single small message is retried, because EMQX may just be starting.
      if (open.length > 1 || tooLarge) return 'EMQX answered 500 with an empty body: the request body is too large';
      throw new CrashedError('EMQX answered 500 with an empty body');
    }
    for (const [i, item] of open.entries()) item.outcome = answer.outcomes[i] ?? null;
    if (open.some(({ outcome }) => outcome === null))
      throw new NotDispatchedError(answer.trouble ?? 'EMQX answered 503: failed_to_dispatch');
    return null;
  }
}

/** Other errors end the process or are bugs, so they are not an outcome of messages. */
function asRetryable(error: unknown): RetryableError {
  if (error instanceof RetryableError) return error;
  throw error;
}

function unsentIf(error: RetryableError | undefined): PublishOutcome | null {
  return error === undefined ? null : { result: 'unsent', error };
}
