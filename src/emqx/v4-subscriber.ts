import { RetryableError } from '../base/errors';
import type { ApiSubscription, SubscribeResult } from './api';
import { withRetries, type Backoff } from './backoff';
import type { HttpAnswer } from './http';
import { codeText, readReply, verdictOf } from './v4-answer';
import { pagesOf } from './v5-bulk';

export interface SubscriberV4Deps {
  readonly backoff: Backoff;
  readonly post: (path: string, body: string, signal: AbortSignal) => Promise<HttpAnswer>;
  /** EMQX_URL in the form that messages may show. */
  readonly shownUrl: string;
}

type Refused = SubscribeResult['refused'][number];

const COMMA = "the topic filter has a comma, and EMQX 4's REST API takes a comma for the end of a filter";

/**
 * POST /mqtt/subscribe_batch and /mqtt/unsubscribe_batch of EMQX 4, in pages. Each entry of the answer has its own
 * code.
 */
export class SubscriberV4 {
  constructor(private readonly deps: SubscriberV4Deps) {}

  async subscribe(clientid: string, subscriptions: readonly ApiSubscription[], signal: AbortSignal): Promise<SubscribeResult> {
    const possible = subscriptions.filter(({ topic }) => !topic.includes(','));
    const refused = subscriptions
      .filter(({ topic }) => topic.includes(','))
      .map((subscription): Refused => ({ subscription, reason: COMMA }));
    for (const page of pagesOf(possible.map(({ topic, qos }) => ({ topic, qos })))) {
      const codes = await this.codesOf('/mqtt/subscribe_batch', clientid, page, signal);
      if (codes.some((code) => verdictOf(code) === 'no-client')) return { connected: false, refused };
      refused.push(
        ...page.flatMap((subscription, i) => (verdictOf(codes[i]) === 'refused' ? [{ subscription, reason: codeText(codes[i]) }] : [])),
      );
    }
    return { connected: true, refused };
  }

  async unsubscribe(clientid: string, filters: readonly string[], signal: AbortSignal): Promise<'unsubscribed' | 'not-connected'> {
    // The server can't have made subscriptions with a comma.
    const possible = filters.filter((topic) => !topic.includes(','));
    for (const page of pagesOf(possible.map((topic) => ({ topic })))) {
      const codes = await this.codesOf('/mqtt/unsubscribe_batch', clientid, page, signal);
      if (codes.some((code) => verdictOf(code) === 'no-client')) return 'not-connected';
    }
    return 'unsubscribed';
  }

  /**
   * @returns one code per entry. If one entry fails for a moment, all are requested again, because making a
   * subscription twice is harmless.
   */
  private codesOf(path: string, clientid: string, page: readonly { readonly topic: string }[], signal: AbortSignal): Promise<unknown[]> {
    const { backoff, post, shownUrl } = this.deps;
    const body = JSON.stringify(page.map((entry) => ({ clientid, ...entry })));
    return withRetries(backoff, signal, async () => {
      const { code, data, message } = readReply(await post(path, body, signal), shownUrl);
      if (verdictOf(code) === 'no-client') return page.map(() => code);
      if (verdictOf(code) !== 'ok' || data.length !== page.length)
        throw new RetryableError(`EMQX answered ${codeText(code, message)} to ${path}`);
      const codes = data.map((entry) => entry['code']);
      const failed = codes.find((each) => verdictOf(each) === 'failed');
      if (failed !== undefined) throw new RetryableError(`EMQX answered ${codeText(failed)} to ${path}`);
      return codes;
    });
  }
}
