import type { Policy } from '../../config/policies';
import type { AcceptedAcks } from '../accept/accepted-acks';
import type { EmqxApi } from '../../emqx/api';
import type { Metrics } from '../../ops/metrics';
import type { ClientChange, ClientDrop, ClientJob, DeliveryRequest, Progress, Resume, RetainedJob } from '../../queue/jobs';
import type { Lanes } from '../../queue/lanes';
import type { SharedState } from '../../queue/state';
import type { Store } from '../../stores/store';
import { hasLeft } from '../clients/left';
import { consumerOf, readersOf, requestsOf } from '../positions/consumer';
import { DeliveryLeases } from './delivery-leases';
import { givenUp, nextRound, readAgain, takenAgain } from './drops';
import type { Message } from '../message';
import { Inbox } from './inbox';
import { canReach, reachesInbox } from '../overlap';
import { eachOf, groupBy } from '../parallel';
import { policyFor } from '../policy';
import { Sender, type SendResult } from './sender';
import type { Signer } from '../signature';
import { GRACE_MS, STORM_MS } from '../times';
import { splitShare } from '../topic';
import { hasSentBefore, inFlightCount, isEmpty, isHeld, requestOf, subscribed, wantsMore, type Run, type Window } from './window';
import { ownerOf, Windows } from './windows';

/** How many of the dropped messages are sent again for each acknowledgement: what EMQX's queue had no room for comes back slowly. */
const AGAIN_PER_ACK = 2;
/** And without one: its acknowledgement brings the rest. */
const PROBE = 1;

/** Consumers that one job serves at a time. */
const PARALLEL = 16;

export interface DelivererDeps {
  readonly store: Store;
  readonly emqx: EmqxApi;
  readonly state: SharedState;
  readonly lanes: Pick<Lanes, 'recheck' | 'recheckLater' | 'resumeLater' | 'turn' | 'forget' | 'dropped'>;
  readonly policies: readonly Policy[];
  readonly signer: Signer;
  readonly acks: Pick<AcceptedAcks, 'has'>;
  readonly metrics: Metrics;
  /** A message that EMQX will never take. */
  readonly setAside: (message: Message, reason: string) => Promise<void>;
  readonly now: () => number;
}

/** Sends consumers what is stored for them. One consumer's jobs never run two at a time (its lane), so its window needs no lock. */
export class Deliverer {
  private readonly sender: Sender;
  private readonly windows: Windows;

  constructor(private readonly deps: DelivererDeps) {
    this.sender = new Sender(deps);
    this.windows = new Windows(deps.state);
  }

  /**
   * A job that is taken over is put behind fences again: acknowledgements that were accepted since it was first started must be in the store
   * before anything is sent, or what is acknowledged would be sent again.
   */
  async handle(job: Exclude<ClientJob, RetainedJob | { name: 'changes' }>, takenOver: boolean): Promise<void> {
    switch (job.name) {
      case 'subscribed':
        // Still as a subscription: a later look would take for lost what another one of the same storm was sent a moment ago.
        return takenOver ? this.deps.lanes.recheck(job.data.requests, 'subscribed') : this.inTurn(job, (requests) => this.subscribed(requests));
      case 'due':
        return this.deps.lanes.recheck(job.data.requests);
      case 'recheck':
        return takenOver ? this.deps.lanes.recheck(job.data.requests) : this.inTurn(job, (requests) => this.recheck(requests));
      case 'gathered':
        return this.deps.lanes.turn(job.data.then, job.data.requests, true);
      case 'progress':
        return this.progress(job.data.acks, takenOver);
      case 'dropped':
        return this.dropped(job.data.drops);
      case 'resume':
        return this.resume(job.data.windows, takenOver);
      case 'fence':
      case 'late':
      case 'forget':
        // Positions only: Reading's.
        return;
    }
  }

  /** What reads pubsub topics goes through the client lane once more. */
  private async inTurn({ name, data }: Extract<ClientJob, { name: 'subscribed' | 'recheck' }>, work: (requests: readonly DeliveryRequest[]) => Promise<void>): Promise<void> {
    const isReader = ({ filter }: DeliveryRequest) => canReach(this.deps.policies, filter, 'pubsub');
    const waiting = data.turn === true ? [] : data.requests.filter(isReader);
    if (waiting.length > 0) await this.deps.lanes.turn(name, waiting);
    const ready = data.requests.filter((request) => !waiting.includes(request));
    if (ready.length > 0) await work(ready);
  }

  private async subscribed(requests: readonly DeliveryRequest[]): Promise<void> {
    const early: DeliveryRequest[] = [];
    await eachConsumer(requests, async (consumer, own) => {
      const { blocked, window } = await this.deliver(consumer, own, true);
      // What other members of a group have has the whole grace to be acknowledged.
      for (const request of own) if (blocked || (request.consumer === undefined && hasSentBefore(window, request.at))) early.push(request);
    });
    // Late publishes (promise 5), and what another client or an earlier subscription of this one did not acknowledge.
    await this.deps.lanes.recheckLater(requests, GRACE_MS);
    if (early.length > 0) await this.deps.lanes.recheckLater(early, STORM_MS);
  }

  private async recheck(requests: readonly DeliveryRequest[]): Promise<void> {
    const again: DeliveryRequest[] = [];
    const soon: DeliveryRequest[] = [];
    await eachConsumer(requests, async (consumer, own) => {
      if (await this.isMoving(consumer)) return void soon.push(...own);
      const { blocked } = await this.deliver(consumer, own, false);
      if (blocked) again.push(...own);
    });
    if (again.length > 0) await this.deps.lanes.recheckLater(again, GRACE_MS);
    if (soon.length > 0) await this.deps.lanes.recheckLater(soon, STORM_MS);
  }

  private async progress(acks: readonly Progress[], takenOver: boolean): Promise<void> {
    await eachConsumer(acks, async (consumer, own) => {
      const window = await this.windows.load(consumer);
      if (isEmpty(window)) return;
      // A copy that EMQX delivered itself leaves ours where it is, in EMQX.
      const ids = own.filter(({ id, ours }) => ours !== false && window.inFlight[id] !== undefined).map(({ id }) => id);
      // What does not count as read (Reading.ofGroup) is still to be sent again.
      const read = own.filter(({ id, sure }) => sure !== false || ids.includes(id)).map(({ id }) => id);
      const taken = takenAgain(window, ids, read);
      const moved = isHeld(taken) && ids.length > 0 ? { ...taken, movedAt: this.deps.now() } : taken;
      const wants = wantsMore(moved) || (moved.dropped !== undefined && ids.length > 0);
      if (wants && !takenOver) return this.goOn(consumer, moved, AGAIN_PER_ACK * ids.length);
      await this.windows.save(consumer, moved);
      if (wants) await this.deps.lanes.recheck(moved.runs.map(requestOf));
    });
  }

  /** Promise 10: a dropped delivery frees its place in the window, and is sent again as the client takes others. */
  private async dropped(drops: readonly ClientDrop[]): Promise<void> {
    await eachConsumer(drops, async (consumer, own) => {
      const { window, ids } = givenUp(await this.windows.load(consumer), own);
      await this.passToGroups(own.filter((drop) => drop.consumer === undefined && !ids.includes(drop.id)));
      if (ids.length === 0) return;
      await this.leasesOf(consumer).giveUpAll(ids);
      const next = nextRound(window);
      if (next.round !== null) await this.deps.lanes.resumeLater([{ consumer }], GRACE_MS * 2 ** next.round);
      await this.windows.save(consumer, next.window);
      for (const { id, reason } of own) if (ids.includes(id)) this.deps.metrics.deliveriesDropped.inc({ reason: dropReason(reason) });
    });
  }

  /** What a client was sent for a group (pubsub mode) is in the group's window. */
  private async passToGroups(drops: readonly ClientDrop[]): Promise<void> {
    const ofReaders = drops.filter(({ topic }) => policyFor(this.deps.policies, topic)?.mode === 'pubsub');
    if (ofReaders.length === 0) return;
    const subscriptions = await this.deps.store.listSubscriptions(ofReaders[0]?.clientid ?? '');
    const forGroups = ofReaders.flatMap((drop) => readersOf(subscriptions, drop.topic).groups.map((consumer) => ({ ...drop, consumer })));
    if (forGroups.length > 0) await this.deps.lanes.dropped(forGroups);
  }

  private async resume(due: readonly Resume[], takenOver: boolean): Promise<void> {
    await eachConsumer(due, async (consumer, own) => {
      const { pausedUntil, ...rest } = await this.windows.load(consumer);
      const isOver = own.some(({ until }) => until === pausedUntil);
      // There is a newer pause, with a job of its own: one chain of them for a consumer.
      if (pausedUntil !== undefined && !isOver && own.every(({ until }) => until !== undefined)) return;
      const window = pausedUntil === undefined || isOver ? rest : { ...rest, pausedUntil };
      if (takenOver) {
        await this.windows.save(consumer, window);
        await this.deps.lanes.recheck(window.runs.map(requestOf));
        if ((window.dropped?.refs.length ?? 0) > 0) await this.deps.lanes.resumeLater([{ consumer }], GRACE_MS);
        return;
      }
      const runs = await this.withoutLeft(await this.wanted(window.runs));
      // What is on its way is acknowledged or dropped: either asks for more.
      await this.goOn(consumer, { ...window, runs }, inFlightCount(window) > 0 ? 0 : PROBE);
    });
  }

  /** Not for a subscription: nobody else looks again. */
  private async goOn(consumer: string, window: Window, again: number): Promise<void> {
    const { stopped } = await this.send(consumer, window, again);
    if (stopped.length > 0) await this.deps.lanes.recheckLater(stopped, GRACE_MS);
  }

  /** Clients unsubscribed: their runs end. */
  async left(changes: readonly ClientChange[]): Promise<void> {
    for (const change of changes) {
      if (change.kind !== 'unsubscribed') continue;
      const { clientid, filter, at } = change;
      const consumers = new Set(requestsOf(this.deps.policies, { clientid, filter, at, qos: 0 }).map(consumerOf));
      for (const consumer of consumers) {
        const { runs } = await this.windows.load(consumer);
        if (runs.some((run) => run.clientid === clientid && run.filter === filter)) await this.deps.lanes.resumeLater([{ consumer }], 0);
      }
    }
  }

  private async wanted<T extends DeliveryRequest>(requests: readonly T[]): Promise<T[]> {
    const left = await Promise.all(requests.map((request) => hasLeft(this.deps.state, request)));
    return requests.filter((_, i) => left[i] === false);
  }

  /** A session that outlives its connection takes QoS 0 messages until its queue is full, and EMQX says nothing: they stay here instead. */
  private async withoutLeft(runs: readonly Run[]): Promise<Run[]> {
    const left = new Set<string>();
    for (const [clientid, own] of groupBy(runs, (run) => run.clientid)) {
      const state = await this.deps.store.getClientState(clientid);
      if (state !== null && !state.connected && own.every(({ at }) => at < state.at)) left.add(clientid);
    }
    return runs.filter(({ clientid }) => !left.has(clientid));
  }

  /** EMQX delivers what a persistent session still had: as long as acknowledgements of that come, nothing is taken for lost. */
  private async isMoving(consumer: string): Promise<boolean> {
    const window = await this.windows.load(consumer);
    return isHeld(window) && (window.movedAt ?? -Infinity) > this.deps.now() - STORM_MS;
  }

  /** @param first the subscription itself; otherwise a later look for it, which takes what is not acknowledged for lost. */
  private async deliver(consumer: string, requests: readonly DeliveryRequest[], first: boolean): Promise<SendResult> {
    let window = await this.windows.load(consumer);
    const lost: string[] = [];
    for (const request of await this.wanted(requests)) {
      // EMQX sends nothing retained to a shared subscription.
      const leaveRetained = first && splitShare(request.filter).group === null;
      const next = subscribed(window, request, first ? toleranceOf(request) : 0, leaveRetained);
      window = first ? readAgain(next.window, request.filter) : next.window;
      lost.push(...next.lost);
    }
    await this.leasesOf(consumer).giveUpAll(lost);
    const result = await this.send(consumer, window, first ? Infinity : PROBE, true);
    await this.openFor(requests, result.window);
    return result;
  }

  /** Runs that had to be put off (held, in a pause, no room) go on when something happens: in this connection, or not at all (Inbox). */
  private async openFor(requests: readonly DeliveryRequest[], { runs }: Window): Promise<void> {
    const isPutOff = ({ clientid, filter, topic }: Run) => topic === '' && requests.some((each) => each.clientid === clientid && each.filter === filter);
    const clientids = runs.filter((run) => isPutOff(run) && reachesInbox(this.deps.policies, run.filter)).map(({ clientid }) => clientid);
    for (const clientid of new Set(clientids)) await new Inbox(clientid, true, this.deps.emqx).open();
  }

  private async send(consumer: string, window: Window, again: number, opens = false): Promise<SendResult> {
    if (isHeld(window) || (window.pausedUntil ?? -Infinity) > this.deps.now()) {
      await this.windows.save(consumer, window);
      return { window, blocked: false, stopped: [] };
    }
    const save = (next: Window) => this.windows.save(consumer, next);
    return this.sender.send({ consumer, owner: ownerOf(consumer), leases: this.leasesOf(consumer), save }, window, again, opens);
  }

  private leasesOf(consumer: string): DeliveryLeases {
    return new DeliveryLeases(this.deps.state, ownerOf(consumer));
  }
}

/** All of a consumer's items at once. */
function eachConsumer<T extends Parameters<typeof consumerOf>[0]>(items: readonly T[], work: (consumer: string, own: T[]) => Promise<void>): Promise<void> {
  return eachOf([...groupBy(items, consumerOf)], PARALLEL, ([consumer, own]) => work(consumer, own));
}

/** What a client had before is held (isHeld) until it is acknowledged or a later look takes it for lost; a group's other members just go on. */
function toleranceOf({ consumer }: DeliveryRequest): number {
  return consumer === undefined ? Infinity : GRACE_MS;
}

/** A metric's label: EMQX's reasons, and no others. */
function dropReason(reason: string): string {
  return ['queue_full', 'expired', 'too_large', 'no_local', 'qos0_msg'].includes(reason) ? reason : 'other';
}
