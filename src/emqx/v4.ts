import { RefusedError } from '../base/errors';
import type { Health } from '../base/health';
import type { ApiSubscription, Delivery, EmqxApi, HeldView, PublishOutcome, SessionView, SubscribeResult } from './api';
import { DEFAULT_BACKOFF, withRetries, type Backoff } from './backoff';
import { HttpConnection, type HttpAnswer, type HttpOptions } from './http';
import { encodedAs, propertiesOf, requestBody, type EncodedMessage } from './publish-body';
import { Publisher } from './publisher';
import { Scope } from './scope';
import { readNodesAnswerV4, readPublishAnswerV4 } from './v4-answer';
import { Presence } from './v4-presence';
import { SessionsV4 } from './v4-sessions';
import { SubscriberV4 } from './v4-subscriber';

export interface EmqxV4Options extends HttpOptions {
  /** Time limit of one request (ms); default 10 s. */
  readonly timeoutMs?: number;
  /** Time limit of health() (ms); default 3 s. */
  readonly healthTimeoutMs?: number;
  /** Time limit of one question about a client (ms); default 2 s. */
  readonly sessionTimeoutMs?: number;
  readonly backoff?: Partial<Backoff>;
  readonly now?: () => number;
}

const TIMEOUT_MS = 10_000;
const HEALTH_TIMEOUT_MS = 3_000;
const SESSION_TIMEOUT_MS = 2_000;

/** The publisher's name. The shipped rules recognize what EMQX 5's REST API publishes by this name (rule-sql.ts). */
const PUBLISHER = 'http_api';

/**
 * EMQX 4.4: POST /mqtt/publish, /mqtt/publish_batch, /mqtt/subscribe_batch and /mqtt/unsubscribe_batch, GET
 * /clients/{clientid}, /nodes and /brokers. It has neither a list of a session's messages nor ids of what it publishes.
 * Its retained messages and rules are not read.
 */
export class EmqxV4 implements EmqxApi {
  private readonly scope = new Scope();
  private readonly http: HttpConnection;
  private readonly backoff: Backoff;
  private readonly presence: Presence;
  private readonly subscriber: SubscriberV4;
  private readonly sessions: SessionsV4;

  constructor(private readonly options: EmqxV4Options) {
    this.http = new HttpConnection(options);
    this.backoff = { ...DEFAULT_BACKOFF, ...options.backoff };
    const { shownUrl } = this.http;
    const now = options.now ?? Date.now;
    const publisher = new Publisher({
      backoff: this.backoff,
      encode: encodeV4,
      send: async (messages, signal) => {
        const answer = await this.post(messages.length === 1 ? '/mqtt/publish' : '/mqtt/publish_batch', requestBody(messages), signal);
        return readPublishAnswerV4(answer, messages.length, shownUrl);
      },
      isHealthy: async (signal) => (await this.nodes(signal)).ok,
    });
    this.sessions = new SessionsV4({ get: this.get.bind(this), shownUrl, now });
    this.presence = new Presence({
      isThere: (clientid, signal) => this.sessions.isThere(clientid, signal),
      publish: (messages, signal) => publisher.publish(messages, signal),
      now,
    });
    this.subscriber = new SubscriberV4({ backoff: this.backoff, post: this.post.bind(this), shownUrl });
  }

  publish(messages: readonly Delivery[], signal?: AbortSignal): Promise<PublishOutcome[]> {
    return this.scope.run(signal, (running) => this.presence.publish(messages, running));
  }

  async subscribe(
    clientid: string,
    subscriptions: readonly ApiSubscription[],
    signal?: AbortSignal,
  ): Promise<'subscribed' | 'not-connected'> {
    const { connected, refused } = await this.subscribeAll(clientid, subscriptions, signal);
    const [first] = refused;
    if (first !== undefined) throw new RefusedError(`EMQX refused the subscription: ${first.reason}`);
    return connected ? 'subscribed' : 'not-connected';
  }

  session(clientid: string, signal?: AbortSignal): Promise<SessionView | null> {
    return this.scope.run(signal, (running) => this.sessions.session(clientid, running));
  }

  /** EMQX 4 has no list of a session's messages. */
  held(): Promise<HeldView> {
    return Promise.resolve({ kind: 'unknown' });
  }

  subscribeAll(clientid: string, subscriptions: readonly ApiSubscription[], signal?: AbortSignal): Promise<SubscribeResult> {
    return this.scope.run(signal, (running) => this.subscriber.subscribe(clientid, subscriptions, running));
  }

  unsubscribeAll(clientid: string, filters: readonly string[], signal?: AbortSignal): Promise<'unsubscribed' | 'not-connected'> {
    return this.scope.run(signal, (running) => this.subscriber.unsubscribe(clientid, filters, running));
  }

  health(): Promise<Health> {
    return this.scope.health((running) => this.nodes(running));
  }

  close(): Promise<void> {
    this.scope.close();
    this.http.close();
    return Promise.resolve();
  }

  private get<T>(path: string, read: (answer: HttpAnswer) => T, signal: AbortSignal): Promise<T> {
    const timeoutMs = this.options.sessionTimeoutMs ?? SESSION_TIMEOUT_MS;
    return withRetries(this.backoff, signal, async () => read(await this.http.exchange({ method: 'GET', path, timeoutMs, signal })));
  }

  private post(path: string, body: string, signal: AbortSignal): Promise<HttpAnswer> {
    return this.http.exchange({ method: 'POST', path, body, timeoutMs: this.options.timeoutMs ?? TIMEOUT_MS, signal });
  }

  /** GET /nodes requires the key and tells the version. */
  private async nodes(signal: AbortSignal): Promise<Health> {
    const timeoutMs = this.options.healthTimeoutMs ?? HEALTH_TIMEOUT_MS;
    return readNodesAnswerV4(await this.http.exchange({ method: 'GET', path: '/nodes', timeoutMs, signal }), this.http.shownUrl);
  }
}

function encodeV4({ topic, qos, retain, payload, properties }: Delivery): EncodedMessage {
  return encodedAs({
    topic,
    clientid: PUBLISHER,
    qos,
    retain,
    encoding: 'base64',
    payload: payload.toString('base64'),
    properties: propertiesOf(properties),
  });
}
