import { createServer, type Server as HttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { openBackends, type Backends } from './backends';
import type { Config } from './config/config';
import type { EmqxApi } from './emqx/api';
import { EmqxV5 } from './emqx/v5';
import { errorText, RefusedError, UnavailableError } from './errors';
import type { OfflineEvent } from './events/event';
import { InvalidEventError, parseEvent } from './events';
import { createApp } from './http/app';
import { Deliverer } from './offline/deliverer';
import { Ingest } from './offline/ingest';
import { Letters } from './offline/letters';
import { newSigningKey, Signer } from './offline/signature';
import { TOMBSTONE_MS } from './offline/times';
import { Writer } from './offline/writer';
import type { Logger } from './ops/log';
import { Maintenance } from './ops/maintenance';
import { createMetrics } from './ops/metrics';
import { Rates } from './ops/rates';
import { readiness, stats, type StatusDeps } from './ops/status';
import { Budget } from './queue/batcher';
import { LetterBox } from './queue/dead-letters';
import type { ClientJob, DeliveryRequest, MessageJob } from './queue/jobs';
import { Lanes } from './queue/lanes';
import { Workers } from './queue/workers';

/** Events that wait in memory for the queue; beyond it they get 429. */
const MAX_WAITING_BYTES = 64 * 1024 * 1024;
const MAX_DEAD_LETTERS = 10_000;
const MAX_BODY_BYTES = 16 * 1024 * 1024;
const FIRST_RETRY_MS = 200;
const LAST_RETRY_MS = 5_000;
/** A connection that is slower than this with its headers, or with a whole request, is closed. ms. */
const HEADERS_TIMEOUT_MS = 15_000;
const REQUEST_TIMEOUT_MS = 60_000;
const SWEEP_MS = 20;

/**
 * The whole server, from a configuration. It listens at once; until the queue is ready events get 503, and until the store is ready
 * they wait in the queue: the order in which things are started does not matter.
 */
export class Server {
  private readonly metrics = createMetrics();
  private readonly stopping = new AbortController();
  private readonly lanes: Lanes;
  private readonly box: LetterBox;
  private readonly letters: Letters;
  private readonly emqx: EmqxApi | null;
  private readonly http: HttpServer;
  private readonly maintenance: Maintenance;
  /** Set when the queue is ready: the key that marks are checked with is kept beside it. */
  private ingest: Ingest | null = null;
  private workers: Workers | null = null;
  private waitingFor: string | null = 'starting';
  private starting: Promise<void> = Promise.resolve();

  private constructor(
    private readonly config: Config,
    private readonly log: Logger,
    private readonly backends: Backends,
  ) {
    const { store, queue } = backends;
    const now = Date.now;
    this.lanes = new Lanes(queue, new Budget(MAX_WAITING_BYTES));
    this.box = new LetterBox(queue, MAX_DEAD_LETTERS);
    this.emqx = config.emqx.credentials === null ? null : new EmqxV5({ url: config.emqx.url, ...config.emqx.credentials });
    const ingest = { accept: (events: readonly OfflineEvent[]) => this.accept(events) };
    this.letters = new Letters({ box: this.box, ingest, parse: parseLetter, metrics: this.metrics, now });
    this.maintenance = new Maintenance({ store, state: queue.state, metrics: this.metrics, log, now });
    const status: StatusDeps = {
      ...{ store, queue, emqx: this.emqx, lanes: this.lanes, letters: this.box },
      rates: new Rates(this.metrics, now),
      waitingFor: () => this.waitingFor,
    };
    const app = createApp(
      {
        ...{ ingest, store, deadLetters: this.letters, metrics: this.metrics },
        deliveries: { request: (clientid, filter) => this.requestDelivery({ clientid, filter, qos: 2, at: now() }) },
        stats: () => stats(status),
        readiness: () => readiness(status),
      },
      {
        ...{ ingestToken: config.ingestToken, adminToken: config.adminToken, log },
        ...{ maxBodyBytes: MAX_BODY_BYTES, tombstoneMs: TOMBSTONE_MS },
      },
    );
    this.http = createServer({ headersTimeout: HEADERS_TIMEOUT_MS, requestTimeout: REQUEST_TIMEOUT_MS }, app);
  }

  /** Resolves when it listens. `onFailure` hears of what it cannot go on with. */
  static async start(config: Config, log: Logger, onFailure: (error: unknown) => void): Promise<Server> {
    const server = new Server(config, log, await openBackends(config, log, onFailure));
    await new Promise<void>((resolve, reject) => {
      server.http.once('error', reject);
      server.http.listen(config.port, config.host, resolve);
    });
    server.starting = server.prepare(onFailure);
    return server;
  }

  get url(): string {
    const { address, family, port } = this.http.address() as AddressInfo;
    return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
  }

  /** Resolves when events are accepted and worked on. */
  ready(): Promise<void> {
    return this.starting;
  }

  private async prepare(onFailure: (error: unknown) => void): Promise<void> {
    const { store, queue } = this.backends;
    await this.until('the queue', () => queue.prepare());
    await this.until('the queue', () => this.lanes.prepare());
    const signer = new Signer(this.config.signingKey ?? (await this.until('the queue', () => queue.state.getOrSet('signing-key', newSigningKey()))) ?? '');
    if (this.stopping.signal.aborted) return;
    this.ingest = new Ingest(this.lanes, this.config.policies, signer);
    await this.until('the store', () => store.migrate());
    if (this.stopping.signal.aborted) return;
    this.workers = this.createWorkers(signer);
    this.workers.start(onFailure);
    this.maintenance.start();
    this.waitingFor = null;
    this.log.info('ready');
  }

  private createWorkers(signer: Signer): Workers {
    const { store, queue } = this.backends;
    const { lanes, metrics } = this;
    const setAside = this.letters.setAside.bind(this.letters);
    const common = { store, lanes, metrics, setAside, now: Date.now };
    const writer = new Writer(common);
    const deliverer = this.emqx === null ? null : new Deliverer({ ...common, emqx: this.emqx, state: queue.state, policies: this.config.policies, signer });
    return new Workers(queue, {
      messages: (job: MessageJob) => writer.handle(job),
      clients: async (job: ClientJob) => deliverer?.handle(job),
      setAside: (job, reason) => this.letters.record({ reason, event: job, source: 'worker' }),
      onRetry: (lane, error, attempt) => this.log.warn({ lane, attempt, err: error }, 'a job is tried again'),
    });
  }

  /** Tries until it works or the server stops; start-up order does not matter. */
  private async until<T>(what: string, work: () => Promise<T>): Promise<T | undefined> {
    for (let delay = FIRST_RETRY_MS; !this.stopping.signal.aborted; delay = Math.min(delay * 2, LAST_RETRY_MS)) {
      try {
        return await work();
      } catch (error) {
        this.waitingFor = `waiting for ${what}: ${errorText(error)}`;
        this.log.warn({ err: error }, `waiting for ${what}`);
      }
      await sleep(delay, undefined, { signal: this.stopping.signal }).catch(() => undefined);
    }
    return undefined;
  }

  private async accept(events: readonly OfflineEvent[]): Promise<void> {
    if (this.ingest === null) throw new UnavailableError(this.waitingFor ?? 'stopping');
    await this.ingest.accept(events);
  }

  private async requestDelivery(request: DeliveryRequest): Promise<void> {
    if (this.ingest === null) throw new UnavailableError(this.waitingFor ?? 'stopping');
    if (this.emqx === null) throw new RefusedError('EMQX_API_KEY and EMQX_API_SECRET are not set: nothing can be delivered');
    await this.lanes.deliver(request);
  }

  /** Requests under way are answered; EMQX's kept-alive connections are closed as they fall idle. */
  private async closeHttp(): Promise<void> {
    const sweep = setInterval(() => this.http.closeIdleConnections(), SWEEP_MS);
    await new Promise((resolve) => this.http.close(resolve));
    clearInterval(sweep);
  }

  /** Stops accepting, finishes or gives back what is in hand, closes. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.closeHttp();
    await this.starting;
    this.ingest = null;
    await this.maintenance.stop();
    await this.workers?.close();
    await this.lanes.close();
    await this.box.close();
    await this.emqx?.close();
    await this.backends.close();
  }
}

/** A letter that is no event can only be looked at. */
function parseLetter(event: unknown): OfflineEvent {
  try {
    return parseEvent(event);
  } catch (error) {
    if (error instanceof InvalidEventError) throw new RefusedError(`the letter is not an event: ${error.message}`);
    throw error;
  }
}
