import type { Server as HttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { openBackends, type Backends } from './backends';
import type { Config } from '../config/config';
import { Core } from './core';
import type { EmqxApi } from '../emqx/api';
import { openEmqx } from '../emqx/open';
import { errorText, UnavailableError } from '../base/errors';
import { createApp } from '../http/app';
import { Arrivals } from '../door/arrivals';
import { createListener } from '../door/listener';
import { RefusedTokens } from '../door/refused-tokens';
import type { HttpServices } from '../http/services';
import { TOMBSTONE_MS } from '../mailbox/times';
import type { Logger } from '../base/log';
import { createMetrics } from '../base/metrics';
import { VERSION } from '../base/version';
import { observeEmqx } from '../ops/emqx-requests';
import { registerBacklogGauges, registerDependencyGauge } from '../ops/gauges';
import { Rates } from '../ops/rates';
import { Secrets } from '../ops/secrets';
import { setupOf } from '../ops/setup';
import { readiness, stats } from '../ops/status';
import { retainOf } from '../policies/policy';

const MAX_BODY_BYTES = 16 * 1024 * 1024;
const FIRST_RETRY_MS = 200;
const LAST_RETRY_MS = 5_000;
const SWEEP_MS = 20;
/** Connections that wait to be taken: after an outage all come at once, and Node's 511 makes the others wait for seconds. */
const BACKLOG = 2_048;
/** At a stop a request that takes longer is broken off: EMQX sends it again, and there must be time to give back what is in hand. */
const LAST_REQUESTS_MS = 3_000;

/**
 * The whole server, from a configuration. It listens at once; until the queue is ready events get 503, and until the store is ready
 * they wait in the queue: the order in which things are started does not matter.
 */
export class Server {
  readonly metrics = createMetrics();
  private readonly secrets: Secrets;
  private readonly refusedTokens: RefusedTokens;
  private readonly arrivals: Arrivals;
  private readonly stopping = new AbortController();
  private readonly emqx: EmqxApi | null;
  private readonly http: HttpServer;
  /** Set when the queue is ready. */
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
    this.emqx = emqx.credentials === null ? null : openEmqx(emqx.version, { url: emqx.url, ca: emqx.ca, observe, ...emqx.credentials });
    this.refusedTokens = new RefusedTokens(log, now);
    this.arrivals = new Arrivals(now);
    const { refusedTokens } = this;
    const services = this.services();
    registerDependencyGauge(this.metrics.registry, () => services.readiness(), now);
    registerBacklogGauges(this.metrics.registry, this.backends.store, now);
    const app = createApp(services, {
      ingestToken,
      previousIngestToken,
      adminToken,
      readToken,
      log,
      refusedTokens,
      arrivals: this.arrivals,
      bodyLimit: MAX_BODY_BYTES,
      tombstoneMs: TOMBSTONE_MS,
      now,
    });
    this.http = createListener(app, { tls, log });
  }

  /** Resolves when it listens. `onFailure` hears of what it cannot go on with. `now`: the clock (ms). */
  static async start(config: Config, log: Logger, onFailure: (error: unknown) => void, now: () => number = Date.now): Promise<Server> {
    const server = new Server(config, log, await openBackends(config, log), now);
    try {
      await server.listen();
    } catch (error) {
      await server.backends.close();
      throw error;
    }
    server.starting = server.open(onFailure);
    return server;
  }

  get url(): string {
    const { address, family, port } = this.http.address() as AddressInfo;
    return `${this.config.tls === null ? 'http' : 'https'}://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
  }

  /** Resolves when events are accepted and worked on. */
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
    this.core = await this.until('the queue', () => Core.open({ config, backends, emqx, metrics, log, now }));
    await this.until('the store (STORE_URL)', async () => this.core?.start(onFailure));
    if (this.stopping.signal.aborted) return;
    this.waitingFor = null;
    log.info('ready');
  }

  /** Tries until it works; null when the server stops before. */
  private async until<T>(what: string, work: () => Promise<T>): Promise<T | null> {
    for (let delay = FIRST_RETRY_MS; !this.stopping.signal.aborted; delay = Math.min(delay * 2, LAST_RETRY_MS)) {
      try {
        return await work();
      } catch (error) {
        this.waitingFor = `waiting for ${what}: ${errorText(error)}`;
        this.log.warn({ err: error }, `waiting for ${what}`);
      }
      await sleep(delay, undefined, { signal: this.stopping.signal }).catch(() => undefined);
    }
    return null;
  }

  private services(): HttpServices {
    const { store, history, queue } = this.backends;
    const { emqx, metrics, now } = this;
    const rates = new Rates(metrics, now);
    const startedAt = now();
    return {
      store,
      metrics,
      ingest: opened(() => this.opened().ingest),
      deliveries: {
        request: async (clientid, filter) => this.opened().requestDelivery(clientid, filter),
        outcome: async (id) => {
          const found = await this.opened().outcomes.delivery(id);
          return found === null
            ? null
            : { id, clientid: found.clientid, topic: found.filter, state: found.state, sent: found.sent, detail: found.detail };
        },
      },
      retained: {
        restore: async (filter) => this.opened().requestRestore(filter),
        outcome: async (id) => {
          const found = await this.opened().outcomes.restore(id);
          return found === null ? null : { id, ...found };
        },
        isKept: (topic) => retainOf(this.config.policies, topic) !== 'off',
      },
      clients: opened(() => this.opened().clients),
      deadLetters: opened(() => this.opened().letters),
      stats: () =>
        stats({
          store,
          rates,
          lanes: () => this.opened().lanes,
          letters: () => this.opened().box,
          version: VERSION,
          startedAt,
          now: now(),
          hide: (text) => this.secrets.hide(text),
        }),
      setup: (wish) => ({
        ...setupOf(this.config, wish),
        lastEventAt: this.arrivals.lastAt,
        eventsAccepted: this.arrivals.count,
        refused: this.refusedTokens.detail(),
      }),
      readiness: async () => {
        const checks = await readiness({
          store,
          history,
          queue,
          emqx,
          refusedTokens: this.refusedTokens.detail(),
          waitingFor: this.waitingFor,
        });
        return checks.map((check) => ({ ...check, detail: this.secrets.hide(check.detail) }));
      },
    };
  }

  private opened(): Core {
    if (this.core === null || this.stopping.signal.aborted) throw new UnavailableError(this.waitingFor ?? 'stopping');
    return this.core;
  }

  /** Stops accepting, finishes or gives back what is in hand, closes. */
  async stop(): Promise<void> {
    await this.closeHttp();
    this.stopping.abort();
    await this.starting;
    // A request to an EMQX that does not answer is given up: its job goes back to the queue.
    const closing = this.core?.close();
    await this.emqx?.close();
    await closing;
    await this.backends.close();
  }

  /** Requests under way are answered; EMQX's kept-alive connections are closed as they fall idle. */
  private async closeHttp(): Promise<void> {
    const sweep = setInterval(() => this.http.closeIdleConnections(), SWEEP_MS);
    const late = setTimeout(() => this.http.closeAllConnections(), LAST_REQUESTS_MS);
    await new Promise((resolve) => this.http.close(resolve));
    clearInterval(sweep);
    clearTimeout(late);
  }
}

/** An object whose methods are those of another one, which is there only later: until then they reject with what `get` throws. */
function opened<T extends object>(get: () => T): T {
  const call =
    (name: string | symbol) =>
    async (...args: unknown[]) => {
      const target = get() as Record<string | symbol, (...args: unknown[]) => unknown>;
      return target[name]?.(...args);
    };
  return new Proxy({} as T, { get: (_, name) => call(name) });
}
