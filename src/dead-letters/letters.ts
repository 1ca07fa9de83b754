import { createHash } from 'node:crypto';
import { RefusedError } from '../base/errors';
import { atMostEvery, type Logger } from '../base/log';
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
  readonly log: Logger;
  readonly now: () => number;
}

/** A publisher can send any number of messages that the store refuses: the log has one line for each way here in this time. */
const LOG_MS = 10_000;

export interface NewDeadLetter {
  readonly reason: string;
  readonly event: unknown;
  readonly source?: string;
}

/** How many of the newest letters are searched for those about one client. */
const NEWEST = 50;

/** The methods of Letters that the HTTP API uses. */
export type DeadLetters = Pick<Letters, 'record' | 'list' | 'get' | 'retry' | 'retryAll' | 'remove' | 'removeAll'>;

/**
 * The dead letters: events that could not be processed, kept until an operator looks at them, repairs them and retries
 * them.
 */
export class Letters {
  private readonly warn: (fields: object, kind: string) => void;

  constructor(private readonly deps: LettersDeps) {
    this.warn = atMostEvery(LOG_MS, (fields) => deps.log.warn(fields, 'event set aside as a dead letter'));
  }

  async record({ reason, event, source }: NewDeadLetter): Promise<void> {
    await this.put(reason, event, source ?? null);
  }

  /** A message that the store or EMQX rejects. It is recorded once, however often its job runs. */
  async setAside(message: Message, reason: string): Promise<void> {
    await this.put(reason, publishBody(message), null, message.id);
  }

  /** A message that a history rejects, while the store has it. A retry only appends it to this history. */
  async setAsideHistory(message: Message, sink: string, reason: string): Promise<void> {
    await this.put(`${sink}: ${reason}`, { history: sink, message: publishBody(message) }, null, `${historyLane(sink)}-${message.id}`);
  }

  /**
   * A subscription that EMQX rejects each time its client connects. It is recorded once. It can't be retried as an
   * event: an operator deletes it or repairs EMQX.
   */
  async setAsideSubscription(subscription: Subscription, reason: string): Promise<void> {
    const key = createHash('sha256')
      .update(JSON.stringify([subscription.clientid, subscription.topic]))
      .digest('hex');
    await this.put(reason, { subscription }, null, `subscription-${key}`);
  }

  /**
   * The letters, oldest first. `after` is the `next` of an earlier answer; null starts at the beginning. A page may be
   * shorter than its limit.
   */
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
   * Puts the letter's event back into the queue, or the event that an operator gives instead.
   * @returns false if there is no such letter.
   * @throws RefusedError that says why the letter can't be retried
   * @throws InvalidEventError if `edited` is not an event
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

  /**
   * Retries all letters that can be retried. The others stay, and so do letters that arrive meanwhile.
   * @returns how many events were put back.
   */
  async retryAll(): Promise<number> {
    let count = 0;
    for (const id of await this.deps.box.ids()) if (await this.retryIfPossible(id)) count++;
    return count;
  }

  private async retryIfPossible(id: string): Promise<boolean> {
    try {
      return await this.retry(id);
    } catch (error) {
      // Retrying this letter by itself tells the reason.
      if (error instanceof RefusedError) return false;
      throw error;
    }
  }

  /** @returns false if there is no such letter. */
  remove(id: string): Promise<boolean> {
    return this.deps.box.remove(id);
  }

  async removeAll(): Promise<number> {
    let count = 0;
    for (const id of await this.deps.box.ids()) if (await this.remove(id)) count++;
    return count;
  }

  private async put(why: string, event: unknown, source: string | null, key?: string): Promise<void> {
    const { box, metrics, now } = this.deps;
    const reason = wellFormed(why);
    const { id, discarded } = await box.put({ reason, event, source, at: now() }, key);
    this.warn({ dead_letter_id: id, reason, source: source ?? undefined, ...fieldsOf(event) }, source?.split(' ')[0] ?? 'message');
    metrics.deadLetters.inc();
    metrics.deadLettersDiscarded.inc(discarded);
  }
}

/** What the log line has as fields, where the letter holds a body that names them. */
function fieldsOf(event: unknown): object {
  if (typeof event !== 'object' || event === null) return {};
  const { message, subscription, ...own } = event as Record<string, unknown>;
  const { id, clientid, topic } = { ...own, ...(message as object), ...(subscription as object) } as Record<string, unknown>;
  return { event_id: id, clientid, topic };
}

/** Whether the server set the event aside for this client. An event that a client posted and the door rejected does not count. */
function isAbout(clientid: string, event: unknown, reason: string): boolean {
  if (reason.startsWith(wellFormed(`EMQX refused it for the inbox of client ${clientid.slice(0, 100)}:`))) return true;
  if (typeof event !== 'object' || event === null) return false;
  const { subscription, change, data } = event as { subscription?: Named; change?: Named; data?: { events?: unknown } };
  const mail = (Array.isArray(data?.events) ? data.events : []) as { to?: unknown }[];
  return subscription?.clientid === clientid || change?.clientid === clientid || mail.some(({ to }) => to === clientKey(clientid));
}

interface Named {
  readonly clientid?: unknown;
}

/** A reason may quote what was refused, and be cut in the middle of a character. PostgreSQL rejects half a character and U+0000 in JSON. */
function wellFormed(reason: string): string {
  return Buffer.from(reason).toString().replaceAll('\0', '\ufffd');
}
