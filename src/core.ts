import { randomUUID } from 'node:crypto';
import type { Backends } from './backends';
import type { Config } from './config/config';
import type { EmqxApi } from './emqx/api';
import { RefusedError } from './errors';
import { readEvent } from './events';
import { createHandlers } from './handlers';
import { ClientDesk } from './offline/clients/client-desk';
import { requestsOf } from './offline/positions/consumer';
import { AcceptedAcks } from './offline/accept/accepted-acks';
import { Ingest } from './offline/accept/ingest';
import { Letters } from './offline/accept/letters';
import { ReadPurger } from './offline/positions/read-purger';
import { RestoreWatch } from './offline/retained/restore-watch';
import { newSigningKey, Signer } from './offline/signature';
import type { Logger } from './ops/log';
import { registerGauges } from './ops/gauges';
import { Maintenance } from './ops/maintenance';
import type { Metrics } from './ops/metrics';
import { NO_API_KEY } from './ops/status';
import { Budget } from './queue/batcher';
import { LetterBox } from './queue/dead-letters';
import { Lanes } from './queue/lanes';
import { Workers } from './queue/workers';

/** Events that wait in memory for the queue; beyond it they get 429. EMQX has up to 800 under way for each of its nodes (8 connections). */
const MAX_WAITING = { items: 8_192, bytes: 64 * 1024 * 1024 };
const DEAD_LETTERS = { count: 10_000, ageMs: 30 * 24 * 3_600_000 };

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
  private readonly acks: AcceptedAcks;
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
    const { store, queue } = backends;
    const { state } = queue;
    const { policies } = config;
    const retainer = emqx?.retainer;
    this.watch = retainer === undefined ? null : new RestoreWatch({ retainer, state, lanes, policies, log, owner: randomUUID() });
    this.acks = new AcceptedAcks(queue.shared ? state : null);
    this.ingest = new Ingest(lanes, policies, signer, this.acks);
    this.letters = new Letters({
      ...{ box, ingest: this.ingest, metrics, now },
      parse: (event, name) => readEvent(event, name).event,
      append: (sink, messages) => lanes.historyOf(sink, messages),
    });
    this.clients = new ClientDesk({ lanes, state, now });
    const readPurger = new ReadPurger({ store, policies, now });
    this.maintenance = new Maintenance({ store, state, letters: box, readPurger, vacuum: () => backends.vacuum(), metrics, log, now });
  }

  /** Once it is open events are accepted. Throws RetryableError while the queue is away. */
  static async open(deps: CoreDeps): Promise<Core> {
    const { queue } = deps.backends;
    await queue.prepare();
    const key = deps.config.signingKey ?? (await queue.state.getOrSet('signing-key', newSigningKey()));
    const budget = new Budget(MAX_WAITING);
    const lanes = new Lanes(queue, budget, deps.backends.history.map(({ name }) => name));
    await lanes.prepare();
    for (const { text, remedy } of await queue.weaknesses()) deps.log.warn(`QUEUE_URL: ${text}; ${remedy}`);
    const box = new LetterBox(queue, DEAD_LETTERS);
    registerGauges(deps.metrics.registry, { lanes: () => lanes.counts(), deadLetters: () => box.count(), waiting: () => budget.waiting });
    return new Core(deps, lanes, box, new Signer(key));
  }

  /** Once it is started events are worked on. Throws RetryableError while store or queue is away. */
  async start(onFailure: (error: unknown) => void): Promise<void> {
    await this.deps.backends.store.migrate();
    const { deps, lanes, letters, signer, acks } = this;
    // On a queue that several processes share the others' are known already.
    if (!deps.backends.queue.shared) await this.ingest.remember(lanes.waitingEvents());
    const workers = new Workers(deps.backends.queue, createHandlers({ deps, lanes, letters, signer, acks }));
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

  /** Resolves when the queue has the request. */
  async requestDelivery(clientid: string, filter: string): Promise<void> {
    if (this.deps.emqx === null) throw new RefusedError(NO_API_KEY);
    const requests = requestsOf(this.deps.config.policies, { clientid, filter, qos: 2, at: this.deps.now() });
    await Promise.all(requests.map((deliver) => this.lanes.put({ deliver }, clientid.length + filter.length)));
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
