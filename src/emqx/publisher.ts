import { RetryableError } from '../base/errors';
import type { Delivery, PublishOutcome } from './api';
import { withRetries, type Backoff } from './backoff';
import { LostAnswerError } from './http';
import { bulksOf, MAX_BULK_BYTES, type EncodedMessage } from './publish-body';
import type { PublishAnswer } from './v5-answer';

export interface PublisherDeps {
  /** One request. Throws RetryableError when the answer settles nothing. */
  readonly send: (messages: readonly EncodedMessage[], signal: AbortSignal) => Promise<PublishAnswer>;
  /** Whether EMQX is well apart from what was just sent. */
  readonly isHealthy: (signal: AbortSignal) => Promise<boolean>;
  readonly backoff: Backoff;
  /** Default: as EMQX 5 takes it. */
  readonly encode?: (message: Delivery) => EncodedMessage;
}

/** EMQX answered 500 with an empty body: its handler crashed. */
class CrashedError extends RetryableError {}

/** EMQX has published what it could, and could not hand the others over to anybody: their clients are overloaded or just ending. */
class NotDispatchedError extends RetryableError {}

/** A message on its way, its outcome filled in as answers come. */
interface Item {
  readonly message: EncodedMessage;
  outcome: PublishOutcome | null;
}

/** Publishes in bulks, in order, until every message has its outcome; finds the bad ones by halving. */
export class Publisher {
  constructor(private readonly deps: PublisherDeps) {}

  /** Trouble after the first bulk does not hide what became of the others: every message has its outcome then. */
  async publish(messages: readonly Delivery[], signal: AbortSignal): Promise<PublishOutcome[]> {
    const outcomes: PublishOutcome[] = [];
    const stuck = new Map<string, RetryableError>();
    for (const bulk of bulksOf(messages, this.deps.encode)) {
      const from = outcomes.length;
      const topicOf = (i: number): string => messages[from + i]?.topic ?? '';
      const items = bulk.map((message, i): Item => ({ message, outcome: unsentIf(stuck.get(topicOf(i))) }));
      const trouble = await this.settle(items, signal).then(() => null, asRetryable);
      if (trouble instanceof NotDispatchedError) {
        // The clients of these topics alone have to wait. What follows of a topic must not overtake what is unsent (promise 6).
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
    // Nothing of a refused bulk was published, so the halves send nothing twice; one after the other they keep the order.
    const middle = Math.ceil(rest.length / 2);
    await this.settle(rest.slice(0, middle), signal);
    await this.settle(rest.slice(middle), signal);
  }

  /** @returns null when every item has its outcome, otherwise why EMQX took none of those without. */
  private async send(items: readonly Item[], signal: AbortSignal): Promise<string | null> {
    try {
      // What EMQX may have published may be acknowledged by now: whoever sends it again must look first.
      return await withRetries(
        this.deps.backoff,
        signal,
        () => this.sendOnce(items, signal),
        (error) => error instanceof LostAnswerError,
      );
    } catch (error) {
      // Promise 13: what makes a healthy EMQX crash every time must not hold back what is behind it for ever.
      if (error instanceof CrashedError && (await this.deps.isHealthy(signal))) return `${error.message}, each time`;
      throw error;
    }
  }

  private async sendOnce(items: readonly Item[], signal: AbortSignal): Promise<string | null> {
    // After a 503 only what reached nobody goes again: the others are not doubled.
    const open = items.filter(({ outcome }) => outcome === null);
    const answer = await this.deps.send(
      open.map(({ message }) => message),
      signal,
    );
    if (answer.kind === 'refused') return answer.reason;
    if (answer.kind === 'crashed') {
      const tooLarge = open.some(({ message }) => message.bytes > MAX_BULK_BYTES);
      // Halving tells which message it was. A small one alone is tried again: EMQX may just be starting.
      if (open.length > 1 || tooLarge) return 'EMQX answered 500 with an empty body: the request body is too large';
      throw new CrashedError('EMQX answered 500 with an empty body');
    }
    for (const [i, item] of open.entries()) item.outcome = answer.outcomes[i] ?? null;
    if (open.some(({ outcome }) => outcome === null))
      throw new NotDispatchedError(answer.trouble ?? 'EMQX answered 503: failed_to_dispatch');
    return null;
  }
}

/** What ends a process, or is a bug, is nobody's outcome. */
function asRetryable(error: unknown): RetryableError {
  if (error instanceof RetryableError) return error;
  throw error;
}

function unsentIf(error: RetryableError | undefined): PublishOutcome | null {
  return error === undefined ? null : { result: 'unsent', error };
}
