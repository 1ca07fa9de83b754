import { RetryableError } from '../base/errors';
import { split } from '../base/split';
import type { ApiSubscription, SubscribeResult } from './api';
import { withRetries, type Backoff } from './backoff';
import type { HttpAnswer } from './http';
import { pathSegment, segmentProblem } from './path-segment';
import { readSubscribeAnswer, readUnsubscribeAnswer } from './v5-answer';

/**
 * EMQX makes subscriptions one after the other, a few thousand per second, and must finish before the request's time
 * limit.
 */
const PAGE = 500;
/** EMQX answers 500 to a body over 8 MB. A filter may have 65,535 bytes, and more as JSON. */
const PAGE_BYTES = 1024 * 1024;

export interface BulkDeps {
  readonly backoff: Backoff;
  readonly post: (path: string, body: string, signal: AbortSignal) => Promise<HttpAnswer>;
  /** EMQX_URL in the form that messages may show. */
  readonly shownUrl: string;
}

type Refused = SubscribeResult['refused'][number];

/** POST /clients/{clientid}/subscribe/bulk and /unsubscribe/bulk of EMQX 5, in pages. */
export class BulkSubscriber {
  constructor(private readonly deps: BulkDeps) {}

  async subscribe(clientid: string, subscriptions: readonly ApiSubscription[], signal: AbortSignal): Promise<SubscribeResult> {
    const refused: Refused[] = [];
    const reason = segmentProblem(clientid);
    if (reason !== null) return { connected: false, refused: subscriptions.map((subscription) => ({ subscription, reason })) };
    for (const page of pagesOf(subscriptions.map(({ topic, qos }) => ({ topic, qos })))) {
      if (!(await this.make(clientid, page, refused, signal))) return { connected: false, refused };
    }
    return { connected: true, refused };
  }

  async unsubscribe(clientid: string, filters: readonly string[], signal: AbortSignal): Promise<'unsubscribed' | 'not-connected'> {
    const { backoff, shownUrl } = this.deps;
    // The server can't have made subscriptions for such a client.
    if (segmentProblem(clientid) !== null) return 'not-connected';
    for (const page of pagesOf(filters.map((topic) => ({ topic })))) {
      const result = await withRetries(backoff, signal, async () =>
        readUnsubscribeAnswer(await this.post(clientid, 'unsubscribe', page, signal), shownUrl),
      );
      if (result === 'not-connected') return result;
    }
    return 'unsubscribed';
  }

  /**
   * Makes the subscriptions of one page. A rejected page is halved until the bad entry is alone, so that the others are
   * made.
   * @returns false if the client is not connected.
   */
  private async make(clientid: string, page: readonly ApiSubscription[], refused: Refused[], signal: AbortSignal): Promise<boolean> {
    const { backoff, shownUrl } = this.deps;
    const answer = await withRetries(backoff, signal, async () => {
      const outcome = readSubscribeAnswer(await this.post(clientid, 'subscribe', page, signal), shownUrl);
      if (outcome.result === 'incomplete') throw new RetryableError(`EMQX did not make every subscription: ${outcome.reason}`);
      return outcome;
    });
    if (answer.result !== 'refused') return answer.result === 'subscribed';
    const [only, ...others] = page;
    if (only === undefined) return true;
    if (others.length === 0) {
      refused.push({ subscription: only, reason: answer.reason });
      return true;
    }
    const half = Math.ceil(page.length / 2);
    return (await this.make(clientid, page.slice(0, half), refused, signal)) && this.make(clientid, page.slice(half), refused, signal);
  }

  private post(clientid: string, action: 'subscribe' | 'unsubscribe', page: readonly object[], signal: AbortSignal): Promise<HttpAnswer> {
    return this.deps.post(`/clients/${pathSegment(clientid)}/${action}/bulk`, JSON.stringify(page), signal);
  }
}

/** Splits the entries into parts that one request can take. */
export function pagesOf<T extends object>(entries: readonly T[]): T[][] {
  return split(entries, PAGE, PAGE_BYTES, (entry) => Buffer.byteLength(JSON.stringify(entry)) + 1);
}
