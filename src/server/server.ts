import type { Server as HttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { openBackends, type Backends } from './backends';
import { emqxAnswers, emqxDependency, reportingEmqx } from './dependencies';
import type { Config } from '../config/config';
import { Core } from './core';
import { listenError } from './listen-error';
import { servicesOf } from './services';
import type { EmqxApi } from '../emqx/api';
import { openEmqx } from '../emqx/open';
import { isExpected, isRetryable, type Source } from '../base/dependency';
import type { Dependency } from '../base/dependency-log';
import { ClosedError, errorText, SettingError, UnavailableError } from '../base/errors';
import { createApp } from '../http/app';
import { Arrivals } from '../door/arrivals';
import { createListener } from '../door/listener';
import { RefusedTokens } from '../door/refused-tokens';
import { TOMBSTONE_MS } from '../mailbox/times';
import { atMostEvery, type Logger } from '../base/log';
import { createMetrics } from '../base/metrics';
import { observeEmqx } from '../ops/emqx-requests';
import { keptOldest, registerBacklogGauges, registerDependencyGauge } from '../ops/gauges';
import { Secrets } from '../ops/secrets';

const MAX_BODY_BYTES = 16 * 1024 * 1024;
const FIRST_RETRY_MS = 200;
const LAST_RETRY_MS = 5_000;
/** The log has at most one line of each kind about a start that fails in this time (ms). */
const START_LOG_MS = 60_000;
/** How often idle connections are closed during a stop (ms). */
const SWEEP_MS = 20;
/**
 * How many connections may wait to be accepted. After an outage all clients connect at once, and with Node's default of
 * 511 the others would wait for seconds.
 */
const BACKLOG = 2_048;
/**
 * How long a stop waits for requests (ms). EMQX sends the aborted ones again. The stop needs the rest of its time to
 * give jobs back to the queue.
 */
const LAST_REQUESTS_MS = 3_000;

/**
 * The whole server. It listens at once, so that the server and its databases may be started in any order. Events are
 * answered 503 until the queue is ready, and wait in the queue until the store is ready.
 */
export class Server {
  readonly metrics = createMetrics();
  private readonly secrets: Secrets;
  private readonly refusedTokens: RefusedTokens;
  private readonly arrivals: Arrivals;
  private readonly stopping = new AbortController();
  private readonly emqx: EmqxApi | null;
  private readonly emqxDependency: Dependency | null;
  private readonly http: HttpServer;
  /** null until the queue is ready. */
  private core: Core | null = null;
  private waitingFor: string | null = 'starting';
  private starting: Promise<void> = Promise.resolve();

  private constructor(
    private readonly config: Config,
    private readonly log: Logger,
    private readonly backends: Backends,
    private readonly now: () => number,
  ) {
    this.secrets = new Secrets().learn(config);
    const { emqx, tls, ingestToken, previousIngestToken, adminToken, readToken } = config;
    const observe = observeEmqx(this.metrics);
    const client = emqx.credentials === null ? null : openEmqx(emqx.version, { url: emqx.url, ca: emqx.ca, observe, ...emqx.credentials });
    this.emqxDependency = client === null ? null : emqxDependency(client, log);
    this.emqx = client === null || this.emqxDependency === null ? null : reportingEmqx(client, this.emqxDependency);
    this.refusedTokens = new RefusedTokens(log, now);
    this.arrivals = new Arrivals(now);
    const { arrivals, refusedTokens, secrets } = this;
    const oldestMessageAt = keptOldest(backends.store, now);
    const services = servicesOf({
      ...{ config, backends, emqx: this.emqx, metrics: this.metrics, now, arrivals, refusedTokens, secrets, oldestMessageAt },
      core: () => this.opened(),
      waitingFor: () => this.waitingFor,
    });
    registerDependencyGauge(this.metrics.registry, () => services.readiness(), now);
    registerBacklogGauges(this.metrics.registry, { countMessages: () => backends.store.countMessages(), oldestMessageAt }, now);
    const app = createApp(services, {
      ingestToken,
      previousIngestToken,
      adminToken,
      readToken,
      log,
      refusedTokens,
      arrivals,
      bodyLimit: MAX_BODY_BYTES,
      tombstoneMs: TOMBSTONE_MS,
      now,
    });
    this.http = createListener(app, { tls, log });
  }

  /**
   * Resolves when the server listens.
   * @param onFailure is called with an error after which the server cannot go on.
   * @param now the clock (ms).
   * @throws SettingError if the server cannot listen on the address
   */
  static async start(config: Config, log: Logger, onFailure: (error: unknown) => void, now: () => number = Date.now): Promise<Server> {
    const server = new Server(config, log, await openBackends(config, log), now);
    try {
      await server.listen();
    } catch (error) {
      await server.backends.close();
      throw listenError(config, error);
    }
    log.info({ url: server.url, store: String(config.store), queue: String(config.queue) }, 'listening');
    void server.lookAtEmqx();
    server.starting = server.open(onFailure);
    return server;
  }

  get url(): string {
    const { address, family, port } = this.http.address() as AddressInfo;
    return `${this.config.tls === null ? 'http' : 'https'}://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
  }

  /** Resolves when the start is complete, so that events are accepted and worked on. */
  ready(): Promise<void> {
    return this.starting;
  }

  private listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.http.once('error', reject);
      this.http.listen({ port: this.config.port, host: this.config.host, backlog: BACKLOG }, resolve);
    });
  }

  private async open(onFailure: (error: unknown) => void): Promise<void> {
    const { config, backends, emqx, metrics, log, now } = this;
    const begun = performance.now();
    const { queue, store } = backends.dependencies;
    try {
      this.core = await this.until('the queue (QUEUE_URL)', queue, () => Core.open({ config, backends, emqx, metrics, log, now }));
      await this.until('the store (STORE_URL)', store, async () => this.core?.start(onFailure));
    } catch (error) {
      return onFailure(error);
    }
    if (this.stopping.signal.aborted) return;
    this.waitingFor = null;
    log.info({ ready_ms: Math.round(performance.now() - begun) }, 'ready');
  }

  /**
   * Repeats the work until it succeeds. @returns null if the server stops before that.
   * @throws SettingError if no later try can succeed with this setting.
   */
  private async until<T>(what: string, dependency: Source, work: () => Promise<T>): Promise<T | null> {
    const { log } = this;
    const refused = atMostEvery(START_LOG_MS, (fields: object) => log.warn(fields, `the start waits for ${what}`));
    const bug = atMostEvery(START_LOG_MS, (fields: object) => log.error(fields, 'the start failed unexpectedly, retrying'));
    for (let delay = FIRST_RETRY_MS; !this.stopping.signal.aborted; delay = Math.min(delay * 2, LAST_RETRY_MS)) {
      try {
        return await work();
      } catch (error) {
        if (error instanceof SettingError) throw error;
        this.waitingFor = `waiting for ${what}: ${errorText(error)}`;
        if (!isExpected(error)) bug({ err: error });
        else if (isRetryable(error) && dependency.isTroubled) log.debug({ err: error }, `waiting for ${what}`);
        else refused({ err: error });
      }
      await sleep(delay, undefined, { signal: this.stopping.signal }).catch(() => undefined);
    }
    return null;
  }

  /** Logs once whether messages can be delivered. The start does not wait for this check. */
  private async lookAtEmqx(): Promise<void> {
    const { log, emqxDependency, config } = this;
    if (emqxDependency === null) {
      log.warn({ setting: 'EMQX_API_KEY' }, 'EMQX_API_KEY and EMQX_API_SECRET are not set: messages are stored, and nothing is delivered');
      return;
    }
    const health = await emqxDependency.look();
    if (health?.ok === true) log.info({ url: config.emqx.url }, emqxAnswers(health.detail, config.emqx.url));
  }

  private opened(): Core {
    if (this.stopping.signal.aborted) throw new ClosedError('the server stops');
    if (this.core === null) throw new UnavailableError(this.waitingFor ?? 'starting');
    return this.core;
  }

  /** Stops accepting requests, finishes the jobs in hand or gives them back to the queue, and closes the databases. */
  async stop(): Promise<void> {
    await this.closeHttp();
    this.stopping.abort();
    await this.starting;
    // Requests to an EMQX that does not answer are aborted, and their jobs go back to the queue.
    this.emqxDependency?.close();
    const closing = this.core?.close();
    await this.emqx?.close();
    await closing;
    await this.backends.close();
  }

  /** Answers the requests under way, and closes EMQX's kept-alive connections when they are idle. */
  private async closeHttp(): Promise<void> {
    const sweep = setInterval(() => this.http.closeIdleConnections(), SWEEP_MS);
    const late = setTimeout(() => this.http.closeAllConnections(), LAST_REQUESTS_MS);
    await new Promise((resolve) => this.http.close(resolve));
    clearInterval(sweep);
    clearTimeout(late);
  }
}
