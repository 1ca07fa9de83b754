import { createHash } from 'node:crypto';
import { RefusedError } from '../../errors';
import type { OfflineEvent } from '../../events/event';
import { publishBody } from '../../events/body';
import type { DeadLetter, DeadLetterPage, DeadLetterQuery, DeadLetters, Ingest, NewDeadLetter } from '../../http/services';
import type { Metrics } from '../../ops/metrics';
import type { LetterBox } from '../../queue/dead-letters';
import { historyLane } from '../../queue/names';
import type { Subscription } from '../../stores/store';
import type { Message } from '../message';

export interface LettersDeps {
  readonly box: LetterBox;
  readonly ingest: Ingest;
  /** From an event's JSON; throws RefusedError where it is not one. */
  readonly parse: (event: unknown) => OfflineEvent;
  readonly metrics: Metrics;
  readonly now: () => number;
}

/** What could not be processed, kept for an operator to look at, repair and try again. */
export class Letters implements DeadLetters {
  constructor(private readonly deps: LettersDeps) {}

  async record({ reason, event, source }: NewDeadLetter): Promise<void> {
    await this.put(reason, event, source ?? null);
  }

  /** A message that the store or EMQX refuses; recorded once, however often its job runs. */
  async setAside(message: Message, reason: string): Promise<void> {
    await this.put(reason, publishBody(message), null, message.id);
  }

  /** A message that a history refuses; the store has it. Not an event: trying it again would deliver the message once more. */
  async setAsideHistory(message: Message, sink: string, reason: string): Promise<void> {
    await this.put(`${sink}: ${reason}`, { history: sink, message: publishBody(message) }, null, `${historyLane(sink)}-${message.id}`);
  }

  /** A subscription that EMQX refuses whenever its client connects; recorded once. Not an event: an operator removes it or repairs EMQX. */
  async setAsideSubscription(subscription: Subscription, reason: string): Promise<void> {
    const key = createHash('sha256').update(JSON.stringify([subscription.clientid, subscription.topic])).digest('hex');
    await this.put(reason, { subscription }, null, `subscription-${key}`);
  }

  async list({ after, limit }: DeadLetterQuery): Promise<DeadLetterPage> {
    const letters = await this.deps.box.list(after === null ? null : fromCursor(after), limit + 1);
    const page = letters.slice(0, limit);
    const last = page.at(-1);
    return { letters: page, next: letters.length > limit && last !== undefined ? `${last.at}.${last.id}` : null };
  }

  get(id: string): Promise<DeadLetter | null> {
    return this.deps.box.get(id);
  }

  async retry(id: string): Promise<boolean> {
    const letter = await this.deps.box.get(id);
    if (letter === null) return false;
    await this.deps.ingest.accept([this.deps.parse(letter.event)]);
    await this.deps.box.remove(id);
    return true;
  }

  /** Those that can be: a letter that is no event stays. */
  async retryAll(): Promise<number> {
    let count = 0;
    for await (const { id, event } of this.all()) {
      if (!this.isEvent(event)) continue;
      if (await this.retry(id)) count++;
    }
    return count;
  }

  remove(id: string): Promise<boolean> {
    return this.deps.box.remove(id);
  }

  async removeAll(): Promise<number> {
    let count = 0;
    for await (const { id } of this.all()) if (await this.remove(id)) count++;
    return count;
  }

  private async *all(): AsyncGenerator<DeadLetter> {
    for (let after: DeadLetter | null = null; ; ) {
      const letters: DeadLetter[] = await this.deps.box.list(after, 100);
      yield* letters;
      after = letters.at(-1) ?? null;
      if (after === null) return;
    }
  }

  private isEvent(event: unknown): boolean {
    try {
      this.deps.parse(event);
      return true;
    } catch (error) {
      // It is why it is here; listing it tells the reason.
      if (error instanceof RefusedError) return false;
      throw error;
    }
  }

  private async put(reason: string, event: unknown, source: string | null, key?: string): Promise<void> {
    await this.deps.box.put({ reason, event, source, at: this.deps.now() }, key);
    this.deps.metrics.deadLetters.inc();
  }
}

function fromCursor(cursor: string): { at: number; id: string } {
  const dot = cursor.indexOf('.');
  return { at: Number(cursor.slice(0, dot)), id: cursor.slice(dot + 1) };
}
