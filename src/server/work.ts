import type { CoreDeps } from './deps';
import type { HistorySink } from '../history/history';
import type { AcceptedAcks } from '../mailbox/accepted-acks';
import type { EventLag } from '../mailbox/event-lag';
import { changeBody } from '../dead-letters/change-body';
import type { Letters } from '../dead-letters/letters';
import { Clients } from '../mailbox/clients/clients';
import { Subscriptions } from '../mailbox/clients/subscriptions';
import { fromWire } from '../mqtt/message';
import { LateWrites } from '../mailbox/positions/late-writes';
import { MailPass } from '../mailbox/pass/pass';
import { RestoredCopies } from '../mailbox/retained/restored-copies';
import { Restorer } from '../mailbox/retained/restorer';
import { RetainedIds } from '../mailbox/retained/retained-ids';
import { RetainedKeeper } from '../mailbox/retained/retained-keeper';
import type { Signer } from '../mailbox/signature';
import { Historian } from '../writes/historian';
import type { Trimmer } from '../writes/trimmer';
import { Writer } from '../writes/writer';
import type { Failed, LaneWork } from '../lanes/attempts';
import { groupBy } from '../base/parallel';
import { Gate } from '../lanes/gate';
import {
  isClientJob,
  isMailJob,
  isMessageJob,
  type ClientJob,
  type HistoryJob,
  type LaneJob,
  type MailEvent,
  type MailJob,
  type MessageJob,
  type RetainedJob,
} from '../lanes/jobs';
import type { Lanes } from '../lanes/lanes';
import { Outcomes } from '../lanes/outcomes';
import { historyLane } from '../lanes/names';
import { splitHistory, splitMessages } from '../lanes/split';
import { probeStore } from '../stores/probe';

export interface WorkParts {
  readonly deps: CoreDeps;
  readonly lanes: Lanes;
  readonly letters: Letters;
  readonly signer: Signer;
  readonly acks: AcceptedAcks;
  readonly lag: EventLag;
  readonly trimmer: Trimmer;
}

/** The dependencies that most parts of the work share. */
function common({ deps, lanes, letters, acks }: WorkParts) {
  const { config, backends, metrics, now } = deps;
  const { store, queue } = backends;
  return { store, state: queue.state, lanes, acks, policies: config.policies, metrics, setAside: letters.setAside.bind(letters), now };
}

/** The work on a message lane: stores published messages and removes acknowledged ones. */
export function messageWork(parts: WorkParts, lane: string): LaneWork<MessageJob> {
  const { lanes, letters, trimmer } = parts;
  const shared = common(parts);
  const retained = new RetainedIds(shared.state);
  const keeper = new RetainedKeeper({ ...shared, ids: retained, copies: new RestoredCopies(shared.state) });
  const writer = new Writer({ ...shared, retained, keeper, lateWrites: new LateWrites(shared), trimmer });
  return {
    knows: isMessageJob,
    async handle(jobs, again) {
      await writer.apply(
        jobs.flatMap(({ data }) => data.events),
        again,
      );
      return [];
    },
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

/**
 * The work on a client lane: keeps the states, subscriptions and read positions of clients, and delivers messages.
 * Without an API key of EMQX nothing is delivered.
 */
export function clientWork(parts: WorkParts, lane: string): LaneWork<ClientJob> {
  const { lanes, letters } = parts;
  const { emqx, backends } = parts.deps;
  const pass = passOf(parts);
  const restoring = restoringOf(parts, lane);
  return {
    knows: isClientJob,
    async handle(jobs, again) {
      const failures = await pass.handle(
        jobs.filter(isMailJob).flatMap(({ data }) => data.events),
        again,
      );
      // A part that was tried by itself before keeps its number of tries.
      const tries = jobs.length === 1 ? jobs[0]?.data.tries : undefined;
      const failed = failures.map(({ events, error }): Failed<ClientJob> => ({ part: mailJob(events, tries), error }));
      for (const job of jobs) if (!isMailJob(job)) await restoring(job);
      return failed;
    },
    split: (job) =>
      isMailJob(job) ? [...groupBy(job.data.events, ({ to }) => to).values()].map((events) => mailJob(events, job.data.tries)) : [job],
    isAway: async () => (await isStoreAway(parts)) || !(await backends.queue.health()).ok || (emqx !== null && !(await emqx.health()).ok),
    postpone: (part, delayMs) => lanes.again(lane, part, delayMs),
    async setAside(job, reason) {
      const events = isMailJob(job) ? job.data.events : [];
      for (const event of events)
        if (event.kind === 'change') await letters.record({ reason, event: changeBody(event.change), source: 'worker' });
      await noteFailed(parts, job, reason);
      const others = events.filter(({ kind }) => kind !== 'change' && kind !== 'wake');
      if (!isMailJob(job)) await letters.record({ reason, event: jobOf(job), source: 'worker' });
      else if (others.length > 0) await letters.record({ reason, event: jobOf(mailJob(others)), source: 'worker' });
    },
  };
}

/** Records the outcome `failed` for the requests of operators in a job that is set aside. */
async function noteFailed({ deps }: WorkParts, job: ClientJob, reason: string): Promise<void> {
  const outcomes = new Outcomes(deps.backends.queue.state);
  const detail = `The server gave up after several errors: ${reason}`;
  if (isMailJob(job)) {
    const requests = job.data.events.flatMap((event) => (event.kind === 'deliver' ? [event.request] : []));
    const failed = requests.flatMap(({ requestId, clientid, filter }) =>
      requestId === undefined ? [] : [[requestId, { clientid, filter, state: 'failed', sent: 0, detail }] as const],
    );
    await outcomes.noteDeliveries(new Map(failed));
  } else if (job.name === 'restore' && job.data.requestId !== undefined) {
    const { requestId, filter, so = { published: 0, kept: 0, failed: 0 } } = job.data;
    await outcomes.noteRestore(requestId, { filter, state: 'failed', ...so, detail });
  }
}

function mailJob(events: readonly MailEvent[], tries?: number): MailJob {
  return { name: 'mail', data: { events, ...(tries !== undefined && { tries }) } };
}

function passOf(parts: WorkParts): MailPass {
  const { emqx, backends } = parts.deps;
  const { letters, signer } = parts;
  const shared = common(parts);
  const subscriptions = new Subscriptions({ ...shared, emqx, setAside: letters.setAsideSubscription.bind(letters) });
  const { sequence, laneCounts } = backends.queue;
  return new MailPass({
    ...shared,
    clients: new Clients({ ...shared, subscriptions }),
    emqx,
    sequence,
    laneCounts,
    signer,
    lag: parts.lag,
  });
}

/** The work on jobs that publish retained messages again. A job waits until earlier writes are done. */
function restoringOf(parts: WorkParts, lane: string): (job: RetainedJob) => Promise<void> {
  const { emqx, log, backends } = parts.deps;
  const { signer, lanes } = parts;
  const gate = new Gate(backends.queue.sequence, lanes, backends.queue.laneCounts);
  const restorer = emqx?.retainer === undefined ? null : new Restorer({ ...common(parts), emqx, retainer: emqx.retainer, signer, log });
  return async (job) => {
    if (await gate.isOpenFor(lane, job)) await restorer?.handle(job);
  };
}

export function historyWork(parts: WorkParts, sink: HistorySink): LaneWork<HistoryJob> {
  const { deps, lanes, letters } = parts;
  const setAside = letters.setAsideHistory.bind(letters);
  const historian = new Historian({ sink, metrics: deps.metrics, setAside });
  return {
    knows: ({ name }) => name === 'history',
    async handle(jobs) {
      await historian.handle(jobs);
      return [];
    },
    split: splitHistory,
    isAway: async () => !(await sink.health()).ok,
    postpone: (part, delayMs) => lanes.again(historyLane(sink.name), part, delayMs),
    async setAside({ data }, reason) {
      for (const message of data.events) await setAside(fromWire(message), sink.name, reason);
    },
  };
}

/** Only the name and the data of a job, because BullMQ's job has many more fields. */
function jobOf({ name, data }: LaneJob): LaneJob {
  return { name, data };
}

/**
 * Whether the store is away. A database may answer but take no writes, because its disk is full or a right is missing.
 */
async function isStoreAway({ deps: { backends } }: WorkParts): Promise<boolean> {
  if (!(await backends.store.health()).ok) return true;
  return probeStore(backends.store).then(
    () => false,
    () => true,
  );
}
