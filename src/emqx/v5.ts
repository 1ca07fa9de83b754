import { RefusedError, RetryableError } from '../base/errors';
import type { Health } from '../base/health';
import type { ApiSubscription, Delivery, EmqxApi, HeldView, PublishOutcome, SessionView, SubscribeResult } from './api';
import { DEFAULT_BACKOFF, withRetries, type Backoff } from './backoff';
import { HttpConnection, type HttpAnswer, type HttpOptions } from './http';
import { operationOf } from './operation';
import { pathSegment } from './path-segment';
import { requestBody } from './publish-body';
import { Publisher } from './publisher';
import { Scope } from './scope';
import { BulkSubscriber } from './v5-bulk';
import { InspectionV5 } from './v5-inspection';
import { RetainerV5 } from './v5-retainer';
import { SessionsV5 } from './v5-sessions';
import { readPublishAnswer, readSubscribeAnswer, rejected } from './v5-answer';
import { healthOf } from './v5-health';

export interface EmqxV5Options extends HttpOptions {
  /** Time limit of one request (ms); default 10 s. */
  readonly timeoutMs?: number;
  /** Time limit of health() (ms); default 3 s. */
  readonly healthTimeoutMs?: number;
  /**
   * Time limit of one request of session() and held() (ms); default 2 s. It is short, because EMQX normally answers
   * within milliseconds and deliveries wait for it.
   */
  readonly sessionTimeoutMs?: number;
  readonly backoff?: Partial<Backoff>;
}

const TIMEOUT_MS = 10_000;
const HEALTH_TIMEOUT_MS = 3_000;
const SESSION_TIMEOUT_MS = 2_000;
/** How long an answer about message queues is used (ms). Operators seldom switch queues on. */
const QUEUES_AGE_MS = 60_000;

/**
 * EMQX 5 and 6: POST /publish and /publish/bulk, /clients/{clientid} and the paths below it, GET /nodes, and
 * /mqtt/retainer.
 */
export class EmqxV5 implements EmqxApi {
  readonly retainer: RetainerV5;
  readonly inspection: InspectionV5;
  private readonly scope = new Scope();
  private readonly http: HttpConnection;
  private readonly backoff: Backoff;
  private readonly publisher: Publisher;
  private readonly bulk: BulkSubscriber;
  private readonly sessions: SessionsV5;
  private queues = { run: false, at: -Infinity };

  constructor(private readonly options: EmqxV5Options) {
    this.http = new HttpConnection(options);
    this.backoff = { ...DEFAULT_BACKOFF, ...options.backoff };
    const reading = { get: this.get.bind(this), shownUrl: this.http.shownUrl, now: Date.now };
    this.retainer = new RetainerV5(reading);
    this.inspection = new InspectionV5(reading);
    this.publisher = new Publisher({
      backoff: this.backoff,
      send: async (messages, signal) => {
        const answer = await this.post(messages.length === 1 ? '/publish' : '/publish/bulk', requestBody(messages), signal);
        return readPublishAnswer(answer, messages.length, this.http.shownUrl);
      },
      isHealthy: async (signal) => (await this.state(signal)).ok,
    });
    this.bulk = new BulkSubscriber({ backoff: this.backoff, post: this.post.bind(this), shownUrl: this.http.shownUrl });
    const sessionTimeoutMs = options.sessionTimeoutMs ?? SESSION_TIMEOUT_MS;
    this.sessions = new SessionsV5({
      shownUrl: this.http.shownUrl,
      get: (path, read, signal) => this.getWithin(sessionTimeoutMs, path, read, signal),
    });
  }

  publish(messages: readonly Delivery[], signal?: AbortSignal): Promise<PublishOutcome[]> {
    return this.scope.run(signal, (running) => this.publisher.publish(messages, running));
  }

  async subscribe(
    clientid: string,
    subscriptions: readonly ApiSubscription[],
    signal?: AbortSignal,
  ): Promise<'subscribed' | 'not-connected'> {
    const entries = subscriptions.map(({ topic, qos }) => ({ topic, qos }));
    if (entries.length === 0) return 'subscribed';
    const one = entries.length === 1;
    const path = `/clients/${pathSegment(clientid)}/subscribe${one ? '' : '/bulk'}`;
    const body = JSON.stringify(one ? entries[0] : entries);
    return this.scope.run(signal, (running) =>
      withRetries(this.backoff, running, async () => {
        const outcome = readSubscribeAnswer(await this.post(path, body, running), this.http.shownUrl);
        if (outcome.result === 'refused') throw new RefusedError(`EMQX refused the subscription: ${outcome.reason}`);
        if (outcome.result === 'incomplete') throw new RetryableError(`EMQX did not make every subscription: ${outcome.reason}`);
        return outcome.result;
      }),
    );
  }

  session(clientid: string, signal?: AbortSignal): Promise<SessionView | null> {
    return this.scope.run(signal, (running) => this.sessions.session(clientid, running));
  }

  held(clientid: string, signal?: AbortSignal): Promise<HeldView> {
    return this.scope.run(signal, (running) => this.sessions.held(clientid, running));
  }

  subscribeAll(clientid: string, subscriptions: readonly ApiSubscription[], signal?: AbortSignal): Promise<SubscribeResult> {
    return this.scope.run(signal, (running) => this.bulk.subscribe(clientid, subscriptions, running));
  }

  unsubscribeAll(clientid: string, filters: readonly string[], signal?: AbortSignal): Promise<'unsubscribed' | 'not-connected'> {
    return this.scope.run(signal, (running) => this.bulk.unsubscribe(clientid, filters, running));
  }

  /**
   * EMQX 6 answers 200 if queues run and 503 if they are not enabled. Older versions don't have the path. If the key
   * may not read it, no queues are assumed.
   */
  async messageQueues(): Promise<boolean> {
    if (Date.now() - this.queues.at < QUEUES_AGE_MS) return this.queues.run;
    const run = await this.scope.run(undefined, async (running) => {
      const answer = await this.ask('GET', '/message_queues/queues?limit=1', this.options.timeoutMs ?? TIMEOUT_MS, running);
      if (![200, 400, 403, 404, 503].includes(answer.status)) throw rejected(answer, this.http.shownUrl);
      return answer.status === 200;
    });
    this.queues = { run, at: Date.now() };
    return run;
  }

  health(): Promise<Health> {
    return this.scope.health((running) => this.state(running));
  }

  close(): Promise<void> {
    this.scope.close();
    this.http.close();
    return Promise.resolve();
  }

  private get<T>(path: string, read: (answer: HttpAnswer) => T): Promise<T> {
    return this.scope.run(undefined, (signal) => this.getWithin(this.options.timeoutMs ?? TIMEOUT_MS, path, read, signal));
  }

  /** @param timeoutMs the time limit of each attempt. */
  private getWithin<T>(timeoutMs: number, path: string, read: (answer: HttpAnswer) => T, signal: AbortSignal): Promise<T> {
    return withRetries(this.backoff, signal, async () => read(await this.ask('GET', path, timeoutMs, signal)));
  }

  private post(path: string, body: string, signal: AbortSignal): Promise<HttpAnswer> {
    return this.ask('POST', path, this.options.timeoutMs ?? TIMEOUT_MS, signal, body);
  }

  private async ask(method: 'GET' | 'POST', path: string, timeoutMs: number, signal: AbortSignal, body?: string): Promise<HttpAnswer> {
    const answer = await this.http.exchange({ method, path, timeoutMs, signal, ...(body !== undefined && { body }) });
    return { ...answer, request: operationOf(method, path) };
  }

  private state(signal: AbortSignal): Promise<Health> {
    const timeoutMs = this.options.healthTimeoutMs ?? HEALTH_TIMEOUT_MS;
    return healthOf({ get: (path, running) => this.ask('GET', path, timeoutMs, running), shownUrl: this.http.shownUrl }, signal);
  }
}
