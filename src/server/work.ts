import type { CoreDeps } from './deps';
import type { HistorySink } from '../history/history';
import type { AcceptedAcks } from '../mailbox/accepted-acks';
import { changeBody } from '../dead-letters/change-body';
import type { Letters } from '../dead-letters/letters';
import { Clients } from '../mailbox/clients/clients';
import { Subscriptions } from '../mailbox/clients/subscriptions';
import { Deliverer } from '../mailbox/deliver/deliverer';
import { fromWire } from '../mqtt/message';
import { LateWrites } from '../mailbox/positions/late-writes';
import { Positions } from '../mailbox/positions/positions';
import { Reading } from '../mailbox/positions/reading';
import { RestoredCopies } from '../mailbox/retained/restored-copies';
import { Restorer } from '../mailbox/retained/restorer';
import { RetainedIds } from '../mailbox/retained/retained-ids';
import { RetainedKeeper } from '../mailbox/retained/retained-keeper';
import type { Signer } from '../mailbox/signature';
import { Historian } from '../writes/historian';
import type { Trimmer } from '../writes/trimmer';
import { Writer } from '../writes/writer';
import type { LaneWork } from '../lanes/consumer';
import { Gate } from '../lanes/gate';
import { isClientJob, isMessageJob, isRetainedJob, type ClientJob, type GatedJob, type HistoryJob, type LaneJob, type MessageJob } from '../lanes/jobs';
import type { Lanes } from '../lanes/lanes';
import { historyLane } from '../lanes/names';
import { splitClients, splitHistory, splitMessages } from '../lanes/split';
import { probeStore } from '../stores/probe';

export interface WorkParts {
  readonly deps: CoreDeps;
  readonly lanes: Lanes;
  readonly letters: Letters;
  readonly signer: Signer;
  readonly acks: AcceptedAcks;
  readonly trimmer: Trimmer;
}

/** What most of them need. */
function common({ deps, lanes, letters, acks }: WorkParts) {
  const { config, backends, metrics, now } = deps;
  const { store, queue } = backends;
  return { store, state: queue.state, lanes, acks, policies: config.policies, metrics, setAside: letters.setAside.bind(letters), now };
}

/** Stores what is published and removes what is acknowledged. */
export function messageWork(parts: WorkParts, lane: string): LaneWork<MessageJob> {
  const { lanes, letters, trimmer } = parts;
  const shared = common(parts);
  const retained = new RetainedIds(shared.state);
  const keeper = new RetainedKeeper({ ...shared, ids: retained, copies: new RestoredCopies(shared.state) });
  const writer = new Writer({ ...shared, retained, keeper, lateWrites: new LateWrites(shared), trimmer });
  return {
    knows: isMessageJob,
    handle: (jobs, again) => writer.apply(jobs.flatMap(({ data }) => data.events), again),
    split: splitMessages,
    isAway: () => isStoreAway(parts),
    postpone: (part, delayMs) => lanes.again(lane, part, delayMs),
    async setAside(job, reason) {
      if (!isMessageJob(job)) return letters.record({ reason, event: jobOf(job), source: 'worker' });
      for (const event of job.data.events) {
        if (event.kind === 'publish') await letters.setAside(fromWire(event.message), reason);
        else await letters.record({ reason, event, source: 'worker' });
      }
    },
  };
}

/** Keeps clients' states, subscriptions and positions, and delivers. Without an API key everything is stored and nothing delivered. */
export function clientWork(parts: WorkParts, lane: string): LaneWork<ClientJob> {
  const { lanes, letters } = parts;
  const { emqx, backends } = parts.deps;
  const handler = new ClientHandler(lane, parts);
  return {
    knows: isClientJob,
    async handle(jobs, again) {
      for (const job of jobs) await handler.handle(job, again);
    },
    split: splitClients,
    isAway: async () => (await isStoreAway(parts)) || !(await backends.queue.health()).ok || (emqx !== null && !(await emqx.health()).ok),
    postpone: (part, delayMs) => lanes.again(lane, part, delayMs),
    async setAside(job, reason) {
      const changes = job.name === 'changes' || job.name === 'clients' ? job.data.changes : [];
      for (const change of changes) await letters.record({ reason, event: changeBody(change), source: 'worker' });
      const isMore = job.name === 'clients' ? job.data.requests.length + job.data.drops.length > 0 : job.name !== 'changes';
      if (isMore) await letters.record({ reason, event: jobOf(job), source: 'worker' });
    },
  };
}

export function historyWork(parts: WorkParts, sink: HistorySink): LaneWork<HistoryJob> {
  const { deps, lanes, letters } = parts;
  const setAside = letters.setAsideHistory.bind(letters);
  const historian = new Historian({ sink, metrics: deps.metrics, setAside });
  return {
    knows: ({ name }) => name === 'history',
    handle: (jobs) => historian.handle(jobs),
    split: splitHistory,
    isAway: async () => !(await sink.health()).ok,
    postpone: (part, delayMs) => lanes.again(historyLane(sink.name), part, delayMs),
    async setAside({ data }, reason) {
      for (const message of data.events) await setAside(fromWire(message), sink.name, reason);
    },
  };
}

/** BullMQ's job has much more. */
function jobOf({ name, data }: LaneJob): LaneJob {
  return { name, data };
}

/** A disk that is full, or rights that are gone: the server answers and takes nothing. */
async function isStoreAway({ deps: { backends } }: WorkParts): Promise<boolean> {
  if (!(await backends.store.health()).ok) return true;
  return probeStore(backends.store).then(
    () => false,
    () => true,
  );
}

/** Who does which job of a client lane. */
class ClientHandler {
  private readonly clients: Clients;
  private readonly reading: Reading;
  private readonly deliverer: Deliverer | null;
  private readonly restorer: Restorer | null;
  private readonly gate: Gate;

  constructor(
    private readonly lane: string,
    parts: WorkParts,
  ) {
    const { emqx, log, backends } = parts.deps;
    const { letters, signer, lanes } = parts;
    const shared = common(parts);
    const refuse = letters.setAsideSubscription.bind(letters);
    this.clients = new Clients({ ...shared, subscriptions: new Subscriptions({ ...shared, emqx, setAside: refuse }) });
    this.reading = new Reading({ ...shared, positions: new Positions(shared) });
    this.deliverer = emqx === null ? null : new Deliverer({ ...shared, emqx, signer });
    this.restorer = emqx?.retainer === undefined ? null : new Restorer({ ...shared, emqx, retainer: emqx.retainer, signer, log });
    this.gate = new Gate(backends.queue.sequence, lanes, backends.queue.laneCounts);
  }

  /** `again`: see LaneWork. */
  async handle(job: ClientJob, again: boolean): Promise<void> {
    if (job.name === 'clients') {
      const { changes, drops, requests } = job.data;
      if (changes.length > 0) await this.change({ name: 'changes', data: { changes } });
      if (drops.length > 0) await this.deliver({ name: 'dropped', data: { drops } }, again);
      if (requests.length > 0) await this.handle({ name: 'subscribed', data: { requests } }, again);
      return;
    }
    if (job.name === 'changes') return this.change(job);
    if (mustWait(job, again) && !(await this.gate.isOpenFor(this.lane, job))) return;
    if (isRetainedJob(job)) return this.restorer?.handle(job);
    return this.deliver(job, again);
  }

  private async change({ data }: Extract<ClientJob, { name: 'changes' }>): Promise<void> {
    await this.clients.apply(data.changes);
    await this.deliverer?.left(data.changes);
  }

  private async deliver(job: Parameters<Deliverer['handle']>[0], again: boolean): Promise<void> {
    await this.reading.handle(job, again);
    await this.deliverer?.handle(job, again);
  }
}

/** A delivery that is done again is put behind the writes of now by the deliverer, and one that has taken its turn has waited. */
function mustWait(job: ClientJob, again: boolean): job is GatedJob {
  if (job.name === 'subscribed' || job.name === 'recheck') return !again && job.data.turn !== true;
  return job.name === 'gathered' || job.name === 'restore' || job.name === 'reconcile';
}
