import type { CoreDeps } from './core';
import type { HistorySink } from './history/history';
import type { AcceptedAcks } from './offline/accept/accepted-acks';
import { changeBody } from './offline/accept/change-body';
import { Clients } from './offline/clients/clients';
import { Deliverer } from './offline/deliver/deliverer';
import { Historian } from './offline/write/historian';
import { LateWrites } from './offline/positions/late-writes';
import type { Letters } from './offline/accept/letters';
import { Positions } from './offline/positions/positions';
import { Reading } from './offline/positions/reading';
import { RestoredCopies } from './offline/retained/restored-copies';
import { Restorer } from './offline/retained/restorer';
import { RetainedIds } from './offline/retained/retained-ids';
import { RetainedKeeper } from './offline/retained/retained-keeper';
import type { Signer } from './offline/signature';
import { Subscriptions } from './offline/clients/subscriptions';
import { Trimmer } from './offline/write/trimmer';
import { Writer } from './offline/write/writer';
import { fromWire, isRetainedJob, type ClientJob, type HistoryJob, type MessageJob } from './queue/jobs';
import type { Lanes } from './queue/lanes';
import type { Handlers } from './queue/workers';

export interface HandlerParts {
  readonly deps: CoreDeps;
  readonly lanes: Lanes;
  readonly letters: Letters;
  readonly signer: Signer;
  readonly acks: AcceptedAcks;
}

/** Who does which job. Without an API key everything is stored and nothing delivered. */
export function createHandlers(parts: HandlerParts): Handlers {
  const { backends, log } = parts.deps;
  const writer = createWriter(parts);
  const clients = createClients(parts);
  return {
    messages: (job, takenOver) => writer.handle(job, takenOver),
    clients: createClientHandler(parts, clients),
    histories: new Map(backends.history.map((sink) => [sink.name, historianOf(sink, parts)])),
    setAside: (job) => setAside(job as MessageJob | ClientJob, parts.letters, writer, clients),
    onRetry: (lane, error, attempt) => log.warn({ lane, attempt, err: error }, 'a job is tried again'),
  };
}

/** What most of them need. */
function common({ deps, lanes, letters, acks }: HandlerParts) {
  const { config, backends, metrics, now } = deps;
  const { store, queue } = backends;
  return { store, state: queue.state, lanes, acks, policies: config.policies, metrics, setAside: letters.setAside.bind(letters), now };
}

function createWriter(parts: HandlerParts): Writer {
  const shared = common(parts);
  const retained = new RetainedIds(shared.state);
  const keeper = new RetainedKeeper({ ...shared, ids: retained, copies: new RestoredCopies(shared.state) });
  return new Writer({ ...shared, retained, keeper, lateWrites: new LateWrites(shared), trimmer: new Trimmer(shared) });
}

function createClients(parts: HandlerParts): Clients {
  const shared = common(parts);
  const refuse = parts.letters.setAsideSubscription.bind(parts.letters);
  const subscriptions = new Subscriptions({ ...shared, emqx: parts.deps.emqx, setAside: refuse });
  return new Clients({ ...shared, subscriptions });
}

function createClientHandler(parts: HandlerParts, clients: Clients): Handlers['clients'] {
  const { emqx, log } = parts.deps;
  const shared = common(parts);
  const reading = new Reading({ ...shared, positions: new Positions(shared) });
  const deliverer = emqx === null ? null : new Deliverer({ ...shared, emqx, signer: parts.signer });
  const restorer = emqx?.retainer === undefined ? null : new Restorer({ ...shared, emqx, retainer: emqx.retainer, signer: parts.signer, log });
  return async (job, takenOver) => {
    if (job.name === 'changes') {
      await clients.apply(job.data.changes);
      return deliverer?.left(job.data.changes);
    }
    if (isRetainedJob(job)) return restorer?.handle(job);
    await reading.handle(job, takenOver);
    await deliverer?.handle(job, takenOver);
  };
}

function historianOf(sink: HistorySink, { deps, letters }: HandlerParts): (job: HistoryJob) => Promise<void> {
  const historian = new Historian({ sink, metrics: deps.metrics, setAside: letters.setAsideHistory.bind(letters) });
  return (job) => historian.handle(job);
}

/** A job that fails for a reason that does not pass: its lane goes on, an operator looks at the dead letters (promise 13). */
async function setAside(job: MessageJob | ClientJob, letters: Letters, writer: Writer, clients: Clients): Promise<void> {
  const record = (event: unknown, reason: string) => letters.record({ reason, event, source: 'worker' });
  if (job.name === 'changes') return clients.applyEach(job.data.changes, (change, reason) => record(changeBody(change), reason));
  if (job.name !== 'events') return record(job, 'the job failed; the log says why');
  await writer.applyEach(job.data.events, (event, reason) =>
    event.kind === 'publish' ? letters.setAside(fromWire(event.message), reason) : record(event, reason),
  );
}
