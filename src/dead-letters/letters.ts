import { createHash } from 'node:crypto';
import { RefusedError } from '../base/errors';
import { publishBody } from './publish-body';
import type { Metrics } from '../base/metrics';
import type { DeadLetter, LetterBox, LetterPosition } from './box';
import { historyLane } from '../lanes/names';
import { clientKey } from '../mqtt/consumer';
import type { Subscription } from '../stores/store';
import type { Message } from '../mqtt/message';
import { retryOf, type RetryDeps } from './retry';

export interface LettersDeps extends RetryDeps {
  readonly box: LetterBox;
  readonly metrics: Metrics;
  readonly now: () => number;
}

export interface NewDeadLetter {
  readonly reason: string;
  readonly event: unknown;
  readonly source?: string;
}

/** So many are looked through for those about a client. */
const NEWEST = 50;

/** The part of Letters that the HTTP edge uses. */
export type DeadLetters = Pick<Letters, 'record' | 'list' | 'get' | 'retry' | 'retryAll' | 'remove' | 'removeAll'>;

/** What could not be processed, kept for an operator to look at, repair and try again. */
export class Letters {
  constructor(private readonly deps: LettersDeps) {}

  async record({ reason, event, source }: NewDeadLetter): Promise<void> {
    await this.put(reason, event, source ?? null);
  }

  /** A message that the store or EMQX refuses; recorded once, however often its job runs. */
  async setAside(message: Message, reason: string): Promise<void> {
    await this.put(reason, publishBody(message), null, message.id);
  }

  /** A message that a history refuses; the store has it. Trying it again appends it to this history and does nothing else. */
  async setAsideHistory(message: Message, sink: string, reason: string): Promise<void> {
    await this.put(`${sink}: ${reason}`, { history: sink, message: publishBody(message) }, null, `${historyLane(sink)}-${message.id}`);
  }

  /** A subscription that EMQX refuses whenever its client connects; recorded once. Not an event: an operator removes it or repairs EMQX. */
  async setAsideSubscription(subscription: Subscription, reason: string): Promise<void> {
    const key = createHash('sha256')
      .update(JSON.stringify([subscription.clientid, subscription.topic]))
      .digest('hex');
    await this.put(reason, { subscription }, null, `subscription-${key}`);
  }

  /** Oldest first; `after` is a `next` of an earlier answer, null starts at the beginning. A page may be shorter than its limit. */
  async list({
    after,
    limit,
  }: {
    after: LetterPosition | null;
    limit: number;
  }): Promise<{ letters: readonly DeadLetter[]; next: LetterPosition | null }> {
    const { letters, more } = await this.deps.box.list(after, limit);
    const last = letters.at(-1);
    return { letters, next: more && last !== undefined ? { at: last.at, id: last.id } : null };
  }

  /** Among the newest letters those about something that was given up for this client, the newest first. */
  async about(clientid: string): Promise<DeadLetter[]> {
    return (await this.deps.box.newest(NEWEST)).filter(({ event, reason }) => isAbout(clientid, event, reason));
  }

  get(id: string): Promise<DeadLetter | null> {
    return this.deps.box.get(id);
  }

  /**
   * Puts the event, or the one that an operator gives in its place, back into the queue. @returns false when there is no such letter.
   * Throws RefusedError that says why it can't be retried, InvalidEventError for an `edited` one that is no event.
   */
  async retry(id: string, edited?: unknown): Promise<boolean> {
    const letter = await this.deps.box.get(id);
    if (letter === null) return false;
    const { parse, ingest, metrics, box } = this.deps;
    const again =
      edited === undefined
        ? retryOf(letter, this.deps)
        : (
            (event) => () =>
              ingest.accept([event])
          )(parse(edited));
    const held = await box.hold(letter);
    if (held === null) return false;
    try {
      await again();
    } catch (error) {
      await held.giveBack();
      throw error;
    }
    await held.done();
    metrics.deadLettersRetried.inc();
    return true;
  }

  /** Those that can be; the others stay, and so does what comes back meanwhile. @returns how many were put back. */
  async retryAll(): Promise<number> {
    let count = 0;
    for (const id of await this.deps.box.ids()) if (await this.retryIfPossible(id)) count++;
    return count;
  }

  private async retryIfPossible(id: string): Promise<boolean> {
    try {
      return await this.retry(id);
    } catch (error) {
      // Trying it alone tells why.
      if (error instanceof RefusedError) return false;
      throw error;
    }
  }

  /** @returns false when there is no such letter. */
  remove(id: string): Promise<boolean> {
    return this.deps.box.remove(id);
  }

  async removeAll(): Promise<number> {
    let count = 0;
    for (const id of await this.deps.box.ids()) if (await this.remove(id)) count++;
    return count;
  }

  private async put(reason: string, event: unknown, source: string | null, key?: string): Promise<void> {
    const { box, metrics, now } = this.deps;
    const discarded = await box.put({ reason, event, source, at: now() }, key);
    metrics.deadLetters.inc();
    metrics.deadLettersDiscarded.inc(discarded);
  }
}

/** Only what the server sets aside for one client; an event that a client posted and the door refused is not. */
function isAbout(clientid: string, event: unknown, reason: string): boolean {
  if (reason.startsWith(`EMQX refused it for the inbox of client ${clientid.slice(0, 100)}:`)) return true;
  if (typeof event !== 'object' || event === null) return false;
  const { subscription, change, data } = event as { subscription?: Named; change?: Named; data?: { events?: unknown } };
  const mail = (Array.isArray(data?.events) ? data.events : []) as { to?: unknown }[];
  return subscription?.clientid === clientid || change?.clientid === clientid || mail.some(({ to }) => to === clientKey(clientid));
}

interface Named {
  readonly clientid?: unknown;
}
