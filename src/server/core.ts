import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { RefusedError } from '../base/errors';
import { readEvent } from '../events';
import type { CoreDeps } from './deps';
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
import { Consumer, type ConsumerOptions, type LaneWork } from '../lanes/consumer';
import type { LaneJob } from '../lanes/jobs';
import { Ownership } from '../lanes/ownership';
import { Lanes, MAX_JOB_BYTES, MAX_JOB_EVENTS, MAX_MAIL_EVENTS } from '../lanes/lanes';
import { clientLane, historyLane, messageLane } from '../lanes/names';
import { newRequestId, Outcomes, partId } from '../lanes/outcomes';
import { hasPassed, tailsOf } from '../lanes/sequence';

/** Events that wait in memory for the queue; beyond it they get 429. EMQX has up to 800 under way for each of its nodes (8 connections). */
const MAX_WAITING = { items: 8_192, bytes: 64 * 1024 * 1024 };
const DEAD_LETTERS = { count: 10_000, ageMs: 30 * 24 * 3_600_000 };

const STORED_LOOK_MS = 50;

type Opened = Pick<Consumer<LaneJob>, 'open' | 'start' | 'close' | 'name' | 'workingSince'>;

/** What needs the queue: from accepted events to the store and to EMQX. */
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
  private readonly closing = new AbortController();
  /** Of this process. */
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
    const retainer = emqx?.retainer;
    this.watch = retainer === undefined ? null : new RestoreWatch({ retainer, state, lanes, policies, log, owner: this.owner });
    this.acks = new AcceptedAcks(queue.shared ? state : null);
    this.ingest = new Ingest(lanes, policies, signer, this.acks, this.lag, metrics);
    this.letters = new Letters({
      ...{ box, ingest: this.ingest, metrics, now },
      parse: (event, name) => readEvent(event, name).event,
      append: (sink, messages) => lanes.historyOf(sink, messages),
    });
    this.outcomes = new Outcomes(state);
    this.clients = new ClientDesk({ lanes, state, store, letters: this.letters, policies, emqx, now });
    this.trimmer = new Trimmer({
      store,
      policies,
      metrics,
      onError: (err) => log.warn({ err }, 'a topic could not be trimmed to maxStored; it is looked at again'),
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

  /** Once it is open events are accepted. Throws RetryableError while the queue is away. */
  static async open(deps: CoreDeps): Promise<Core> {
    const { queue } = deps.backends;
    await queue.prepare();
    const key = deps.config.signingKey ?? (await queue.state.getOrSet('signing-key', newSigningKey()));
    const budget = new Budget(MAX_WAITING);
    const lanes = new Lanes(
      queue,
      budget,
      deps.backends.history.map(({ name }) => name),
    );
    await lanes.prepare();
    for (const { text, remedy } of await queue.weaknesses()) deps.log.warn(`QUEUE_URL: ${text}; ${remedy}`);
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

  /** Once it is started events are worked on. Throws RetryableError while store or queue is away. */
  async start(onFailure: (error: unknown) => void): Promise<void> {
    const { store, queue } = this.deps.backends;
    await store.migrate();
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
    // What earlier processes accepted and have not stored: on a queue that several processes share its acknowledgements are known (AcceptedAcks).
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
    const { backends, metrics, log } = this.deps;
    const options: ConsumerOptions = {
      ...{ maxEvents, maxBytes: MAX_JOB_BYTES, ownership },
      onDone: (dueAt) => metrics.queueLag.observe(Math.max(0, Date.now() - dueAt) / 1_000),
      onRetry: (name, error, attempt) => {
        metrics.laneRetries.inc({ lane: name });
        log.warn({ lane: name, attempt, err: error }, 'a job is tried again');
      },
    };
    return new Consumer(backends.queue.source(lane), work, options);
  }

  /** What was waiting in the message lanes when this process started is in the store. @returns false when the process stops before. */
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

  /** Resolves when the queue has the request, with the request's id. */
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

  /** Resolves when the queue has the request, with the request's id. */
  async requestRestore(filter: string): Promise<string> {
    const { emqx } = this.deps;
    if (emqx === null) throw new RefusedError(NO_API_KEY);
    if (emqx.retainer === undefined)
      throw new RefusedError("this EMQX's REST API can't tell what it retains: nothing can be restored safely");
    const requestId = newRequestId();
    const counts = { published: 0, kept: 0, failed: 0 };
    await this.outcomes.noteRestore(requestId, { filter, state: 'accepted', ...counts, detail: 'The request waits for its turn.' });
    await this.lanes.restore({ filter, before: null, after: '', requestId });
    return requestId;
  }

  /** Finishes or gives back what is in hand. */
  async close(): Promise<void> {
    // At once, so that no job starts another try while we wait.
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
