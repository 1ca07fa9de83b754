import { randomUUID } from 'node:crypto';
import type { Backends } from './backends';
import type { Config } from './config/config';
import type { EmqxApi } from './emqx/api';
import { RefusedError } from './errors';
import { parseEvent } from './events';
import type { HistorySink } from './history/history';
import { changeBody } from './offline/change-body';
import { Clients } from './offline/clients';
import { ClientDesk } from './offline/client-desk';
import { Deliverer } from './offline/deliverer';
import { Historian } from './offline/historian';
import { Ingest } from './offline/ingest';
import { Letters } from './offline/letters';
import { RestoreWatch } from './offline/restore-watch';
import { RestoredCopies } from './offline/restored-copies';
import { Restorer } from './offline/restorer';
import { RetainedIds } from './offline/retained-ids';
import { RetainedKeeper } from './offline/retained-keeper';
import { newSigningKey, Signer } from './offline/signature';
import { Subscriptions } from './offline/subscriptions';
import { Trimmer } from './offline/trimmer';
import { Writer } from './offline/writer';
import type { Logger } from './ops/log';
import { Maintenance } from './ops/maintenance';
import type { Metrics } from './ops/metrics';
import { NO_API_KEY } from './ops/status';
import { Budget } from './queue/batcher';
import { LetterBox } from './queue/dead-letters';
import { fromWire, isRetainedJob, type ClientJob, type HistoryJob, type MessageJob } from './queue/jobs';
import { Lanes } from './queue/lanes';
import { Workers } from './queue/workers';

/** Events that wait in memory for the queue; beyond it they get 429. */
const MAX_WAITING_BYTES = 64 * 1024 * 1024;
const MAX_DEAD_LETTERS = 10_000;

export interface CoreDeps {
  readonly config: Config;
  readonly backends: Backends;
  /** null: no EMQX_API_KEY. */
  readonly emqx: EmqxApi | null;
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly now: () => number;
}

/** What needs the queue: from accepted events to the store and to EMQX. */
export class Core {
  readonly ingest: Ingest;
  readonly letters: Letters;
  readonly clients: ClientDesk;
  private readonly maintenance: Maintenance;
  private readonly watch: RestoreWatch | null;
  private workers: Workers | null = null;

  private constructor(
    private readonly deps: CoreDeps,
    readonly lanes: Lanes,
    readonly box: LetterBox,
    private readonly signer: Signer,
  ) {
    const { config, backends, emqx, metrics, log, now } = deps;
    const { state } = backends.queue;
    const { policies } = config;
    const retainer = emqx?.retainer;
    this.watch = retainer === undefined ? null : new RestoreWatch({ retainer, state, lanes, policies, log, owner: randomUUID() });
    this.ingest = new Ingest(lanes, config.policies, signer);
    this.letters = new Letters({ box, ingest: this.ingest, parse: parseEvent, metrics, now });
    this.clients = new ClientDesk({ lanes, state: backends.queue.state, now });
    this.maintenance = new Maintenance({ store: backends.store, state: backends.queue.state, vacuum: () => backends.vacuum(), metrics, log, now });
  }

  /** Once it is open events are accepted. Throws RetryableError while the queue is away. */
  static async open(deps: CoreDeps): Promise<Core> {
    const { queue } = deps.backends;
    await queue.prepare();
    const key = deps.config.signingKey ?? (await queue.state.getOrSet('signing-key', newSigningKey()));
    const lanes = new Lanes(queue, new Budget(MAX_WAITING_BYTES), deps.backends.history.map(({ name }) => name));
    await lanes.prepare();
    return new Core(deps, lanes, new LetterBox(queue, MAX_DEAD_LETTERS), new Signer(key));
  }

  /** Once it is started events are worked on. Throws RetryableError while store or queue is away. */
  async start(onFailure: (error: unknown) => void): Promise<void> {
    await this.deps.backends.store.migrate();
    const workers = this.createWorkers();
    try {
      await workers.ready();
    } catch (error) {
      await workers.close();
      throw error;
    }
    this.workers = workers;
    workers.start(onFailure);
    this.maintenance.start();
    this.watch?.start();
  }

  private createWorkers(): Workers {
    const { config, backends, emqx, metrics, log, now } = this.deps;
    const setAside = this.letters.setAside.bind(this.letters);
    const common = { store: backends.store, lanes: this.lanes, metrics, setAside, now };
    const { policies } = config;
    const retained = new RetainedIds(backends.queue.state);
    const keeper = new RetainedKeeper({ ...common, ids: retained, copies: new RestoredCopies(backends.queue.state) });
    const restorer = this.createRestorer();
    const writer = new Writer({ ...common, retained, keeper, trimmer: new Trimmer({ store: backends.store, policies, metrics }) });
    const deliverer = emqx === null ? null : new Deliverer({ ...common, emqx, state: backends.queue.state, policies, signer: this.signer });
    const refuse = this.letters.setAsideSubscription.bind(this.letters);
    const subscriptions = new Subscriptions({ store: backends.store, emqx, state: backends.queue.state, setAside: refuse, now });
    const clients = new Clients({ store: backends.store, subscriptions, now });
    return new Workers(backends.queue, {
      messages: (job: MessageJob) => writer.handle(job),
      clients: async (job, takenOver) => {
        if (job.name === 'changes') await clients.apply(job.data.changes);
        else if (isRetainedJob(job)) await restorer?.handle(job);
        else await deliverer?.handle(job, takenOver);
      },
      histories: new Map(backends.history.map((sink) => [sink.name, this.historian(sink)])),
      setAside: (job) => this.setAside(job as MessageJob | ClientJob, writer, clients),
      onRetry: (lane, error, attempt) => log.warn({ lane, attempt, err: error }, 'a job is tried again'),
    });
  }

  private createRestorer(): Restorer | null {
    const { config, backends, emqx, metrics, log, now } = this.deps;
    if (emqx?.retainer === undefined) return null;
    const { policies } = config;
    const { store, queue } = backends;
    const { lanes, signer } = this;
    return new Restorer({ store, emqx, retainer: emqx.retainer, state: queue.state, lanes, policies, signer, metrics, log, now });
  }

  private historian(sink: HistorySink): (job: HistoryJob) => Promise<void> {
    const setAside = this.letters.setAsideHistory.bind(this.letters);
    const historian = new Historian({ sink, metrics: this.deps.metrics, setAside });
    return (job) => historian.handle(job);
  }

  /** A job that fails for a reason that does not pass: its lane goes on, an operator looks at the dead letters (promise 13). */
  private async setAside(job: MessageJob | ClientJob, writer: Writer, clients: Clients): Promise<void> {
    const record = (event: unknown, reason: string) => this.letters.record({ reason, event, source: 'worker' });
    if (job.name === 'changes') return clients.applyEach(job.data.changes, (change, reason) => record(changeBody(change), reason));
    if (job.name !== 'events') return record(job, 'the job failed; the log says why');
    await writer.applyEach(job.data.events, (event, reason) =>
      event.kind === 'publish' ? this.letters.setAside(fromWire(event.message), reason) : record(event, reason),
    );
  }

  /** Resolves when the queue has the request. */
  async requestDelivery(clientid: string, filter: string): Promise<void> {
    if (this.deps.emqx === null) throw new RefusedError(NO_API_KEY);
    await this.lanes.put({ deliver: { clientid, filter, qos: 2, at: this.deps.now() } }, clientid.length + filter.length);
  }

  /** Resolves when the queue has the request. */
  async requestRestore(filter: string): Promise<void> {
    const { emqx } = this.deps;
    if (emqx === null) throw new RefusedError(NO_API_KEY);
    if (emqx.retainer === undefined) throw new RefusedError("this EMQX's REST API can't tell what it retains: nothing can be restored safely");
    await this.lanes.restore({ filter, before: null, after: '' });
  }

  /** Finishes or gives back what is in hand. */
  async close(): Promise<void> {
    // At once, so that no job starts another try while we wait.
    const working = this.workers?.close();
    const watching = this.watch?.stop();
    await this.maintenance.stop();
    await watching;
    await working;
    await this.lanes.close();
    await this.box.close();
  }
}
