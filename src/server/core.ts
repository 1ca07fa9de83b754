import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { RefusedError } from '../base/errors';
import { pacedFromNow } from '../base/pace';
import { readEvent } from '../events';
import { isRetryable, reporting } from '../base/dependency';
import type { CoreDeps } from './deps';
import { retryLog, trimmingLog } from './failure-log';
import { clientWork, historyWork, messageWork, type WorkParts } from './work';
import { ClientDesk } from '../mailbox/clients/client-desk';
import { AcceptedAcks } from '../mailbox/accepted-acks';
import { EventLag } from '../mailbox/event-lag';
import { Ingest } from '../door/ingest';
import { deliveries } from '../door/route';
import { Letters } from '../dead-letters/letters';
import { ReadPurger } from '../mailbox/positions/read-purger';
import { RestoreWatch } from '../mailbox/retained/restore-watch';
import { newSigningKey, Signer } from '../mailbox/signature';
import { Trimmer } from '../writes/trimmer';
import { registerGauges } from '../ops/gauges';
import { Maintenance } from '../ops/maintenance';
import { NO_API_KEY } from '../ops/status';
import { Budget } from '../lanes/batcher';
import { LetterBox } from '../dead-letters/box';
import type { LaneWork } from '../lanes/attempts';
import { Consumer, type ConsumerOptions } from '../lanes/consumer';
import type { LaneJob } from '../lanes/jobs';
import { Ownership } from '../lanes/ownership';
import { Lanes } from '../lanes/lanes';
import { MAX_JOB_BYTES, MAX_JOB_EVENTS, MAX_MAIL_EVENTS } from '../lanes/new-jobs';
import { clientLane, historyLane, messageLane } from '../lanes/names';
import { newRequestId, Outcomes, partId } from '../lanes/outcomes';
import { hasPassed, tailsOf } from '../lanes/sequence';

/**
 * The most events that wait in memory for the queue. Above it events are answered 429. Each node of EMQX has up to 800
 * events under way (8 connections).
 */
const MAX_WAITING = { items: 8_192, bytes: 64 * 1024 * 1024 };
const DEAD_LETTERS = { count: 10_000, ageMs: 30 * 24 * 3_600_000 };

/** How often the start checks whether the messages that waited in the queue are stored (ms). */
const STORED_LOOK_MS = 50;
/** How often a long migration writes its progress to the log (ms). */
const PROGRESS_MS = 5_000;

type Opened = Pick<Consumer<LaneJob>, 'open' | 'start' | 'close' | 'name' | 'workingSince'>;

/**
 * The part of the server that needs the queue. It takes accepted events, stores messages, and delivers them to EMQX.
 */
export class Core {
  readonly ingest: Ingest;
  readonly letters: Letters;
  readonly clients: ClientDesk;
  readonly outcomes: Outcomes;
  private readonly acks: AcceptedAcks;
  private readonly lag = new EventLag();
  private readonly maintenance: Maintenance;
  private readonly watch: RestoreWatch | null;
  private readonly trimmer: Trimmer;
  private consumers: readonly Opened[] = [];
  private readonly retries: ConsumerOptions['onRetry'];
  private readonly closing = new AbortController();
  /** The name under which this process owns lanes. */
  private readonly owner = randomUUID();

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
    this.retries = retryLog(log);
    const retainer = emqx?.retainer;
    this.watch = retainer === undefined ? null : new RestoreWatch({ retainer, state, lanes, policies, log, owner: this.owner });
    this.acks = new AcceptedAcks(queue.shared ? state : null);
    this.ingest = new Ingest(reporting(lanes, backends.dependencies.queue, isRetryable), policies, signer, this.acks, this.lag, metrics);
    this.letters = new Letters({
      ...{ box, ingest: this.ingest, metrics, log, now },
      parse: (event, name) => readEvent(event, name).event,
      append: (sink, messages) => lanes.historyOf(sink, messages),
    });
    this.outcomes = new Outcomes(state);
    this.clients = new ClientDesk({ lanes, state, store, letters: this.letters, policies, emqx, now });
    this.trimmer = new Trimmer({
      store,
      policies,
      metrics,
      onError: trimmingLog(log),
    });
    const { laneCounts, sequence } = queue;
    const readPurger = new ReadPurger({
      store,
      sequence,
      lanes: { messages: namesOf(laneCounts.messages, messageLane), clients: namesOf(laneCounts.clients, clientLane) },
      policies,
      now,
    });
    this.maintenance = new Maintenance({ store, state, letters: box, readPurger, trimmer: this.trimmer, policies, metrics, log, now });
  }

  /** Prepares the queue. Events are accepted from then on. @throws RetryableError while the queue is away. */
  static async open(deps: CoreDeps): Promise<Core> {
    const { queue } = deps.backends;
    await queue.prepare();
    const key = deps.config.signingKey ?? (await queue.state.getOrSet('signing-key', newSigningKey()));
    const budget = new Budget(MAX_WAITING);
    const sinks = deps.backends.history.map(({ name }) => name);
    const lanes = new Lanes(queue, budget, sinks);
    await lanes.prepare();
    for (const { text, remedy } of await queue.weaknesses()) deps.log.warn({ setting: 'QUEUE_URL' }, `QUEUE_URL: ${text}; ${remedy}`);
    const box = new LetterBox(queue, DEAD_LETTERS);
    const core = new Core(deps, lanes, box, new Signer(key));
    registerGauges(deps.metrics.registry, {
      lanes: () => lanes.counts(),
      deadLetters: () => box.count(),
      waiting: () => budget.waiting,
      working: () => core.consumers.map(({ name, workingSince }) => ({ name, since: workingSince })),
    });
    return core;
  }

  /**
   * Migrates the store and starts to work on the events.
   * @throws RetryableError while the store or the queue is away.
   */
  async start(onFailure: (error: unknown) => void): Promise<void> {
    const { store, queue } = this.deps.backends;
    await store.migrate(pacedFromNow(PROGRESS_MS, (progress) => this.deps.log.info(progress, 'the store is being migrated')));
    const { messages, others } = this.openConsumers();
    const consumers = [...messages, ...others];
    try {
      await Promise.all(consumers.map((consumer) => consumer.open()));
    } catch (error) {
      await Promise.all(consumers.map((consumer) => consumer.close()));
      throw error;
    }
    this.consumers = consumers;
    for (const consumer of messages) consumer.start(onFailure);
    const startOthers = () => others.forEach((consumer) => consumer.start(onFailure));
    // Deliveries must know the acknowledgements that earlier processes accepted. A shared queue keeps them
    // (AcceptedAcks). Otherwise deliveries wait until the message lanes have handled these events.
    if (queue.shared) startOthers();
    else void this.untilStored().then((isOver) => isOver && startOthers(), onFailure);
    this.maintenance.start();
    this.watch?.start();
  }

  private openConsumers(): { messages: Opened[]; others: Opened[] } {
    const { backends } = this.deps;
    const { laneCounts } = backends.queue;
    const { lanes, letters, signer, acks, lag, trimmer, deps } = this;
    const parts: WorkParts = { deps, lanes, letters, signer, acks, lag, trimmer };
    return {
      messages: namesOf(laneCounts.messages, messageLane).map((lane) => this.consumer(lane, messageWork(parts, lane), MAX_JOB_EVENTS)),
      others: [
        ...namesOf(laneCounts.clients, clientLane).map((lane) =>
          this.consumer(lane, clientWork(parts, lane), MAX_MAIL_EVENTS, this.ownership(lane)),
        ),
        ...backends.history.map((sink) => this.consumer(historyLane(sink.name), historyWork(parts, sink), 1)),
      ],
    };
  }

  private ownership(lane: string): Ownership {
    return new Ownership(this.deps.backends.queue.state, lane, this.owner);
  }

  private consumer<J extends LaneJob>(lane: string, work: LaneWork<J>, maxEvents: number, ownership: Ownership | null = null): Consumer<J> {
    const { backends, metrics } = this.deps;
    const options: ConsumerOptions = {
      ...{ maxEvents, maxBytes: MAX_JOB_BYTES, ownership },
      onDone: (dueAt) => metrics.queueLag.observe(Math.max(0, Date.now() - dueAt) / 1_000),
      onRetry: (name, error, attempt) => {
        metrics.laneRetries.inc({ lane: name });
        this.retries(name, error, attempt);
      },
    };
    return new Consumer(backends.queue.source(lane), work, options);
  }

  /**
   * Waits until the jobs that were in the message lanes at the start are done.
   * @returns false if the process stops before that.
   */
  private async untilStored(): Promise<boolean> {
    const { sequence, laneCounts } = this.deps.backends.queue;
    const lanes = namesOf(laneCounts.messages, messageLane);
    const tails = tailsOf(await sequence.progress(lanes));
    while (!hasPassed(await sequence.progress(lanes), tails)) {
      await sleep(STORED_LOOK_MS, undefined, { signal: this.closing.signal }).catch(() => undefined);
      if (this.closing.signal.aborted) return false;
    }
    return !this.closing.signal.aborted;
  }

  /** Resolves with the id of the request when the queue has the request. */
  async requestDelivery(clientid: string, filter: string): Promise<string> {
    if (this.deps.emqx === null) throw new RefusedError(NO_API_KEY);
    const id = newRequestId();
    const items = deliveries(this.deps.config.policies, { clientid, filter, qos: 2, at: this.deps.now() }, id);
    const outcome = { clientid, filter, sent: 0 };
    const accepted = { ...outcome, state: 'accepted', detail: "The request waits for the client's turn." } as const;
    const reached = new Map(items.map((_, part) => [partId(id, part), accepted]));
    const none = new Map([
      [partId(id, 0), { ...outcome, state: 'done', detail: 'No policy stores messages for this topic filter.' } as const],
    ]);
    await this.outcomes.noteDeliveries(items.length === 0 ? none : reached);
    await this.lanes.put(items);
    return id;
  }

  /** Resolves with the id of the request when the queue has the request. */
  async requestRestore(filter: string): Promise<string> {
    const { emqx } = this.deps;
    if (emqx === null) throw new RefusedError(NO_API_KEY);
    if (emqx.retainer === undefined)
      throw new RefusedError("retained messages can't be restored, because the REST API of this EMQX does not show which ones EMQX has");
    const requestId = newRequestId();
    const counts = { published: 0, kept: 0, failed: 0 };
    await this.outcomes.noteRestore(requestId, { filter, state: 'accepted', ...counts, detail: 'The request waits for its turn.' });
    await this.lanes.restore({ filter, before: null, after: '', requestId });
    return requestId;
  }

  /** Finishes the jobs in hand, or gives them back to the queue. */
  async close(): Promise<void> {
    // All consumers are closed before anything is awaited, so that no job is tried again meanwhile.
    this.closing.abort();
    const working = Promise.all(this.consumers.map((consumer) => consumer.close()));
    const watching = this.watch?.stop();
    await this.maintenance.stop();
    await watching;
    await working;
    await this.trimmer.stop();
    await this.lanes.close();
    await this.box.close();
  }
}

function namesOf(count: number, nameOf: (lane: number) => string): string[] {
  return Array.from({ length: count }, (_, lane) => nameOf(lane));
}
