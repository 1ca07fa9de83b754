import type { ClientChange, ClientJob, DeliveryRequest, Progress, RetainedJob } from '../../lanes/jobs';
import { canReach, reachesInbox } from '../../policies/overlap';
import { GRACE_MS, STORM_MS } from '../times';
import { splitShare } from '../../mqtt/topic';
import { Continuation, PROBE } from './continuation';
import type { DelivererDeps } from './deps';
import { Courier, eachConsumer } from './courier';
import { readAgain, takenAgain } from './drops';
import { Inbox } from './inbox';
import type { SendResult } from './sender';
import { hasSentBefore, isEmpty, isHeld, requestOf, subscribed, wantsMore, type Run, type Window } from './window';

/** How many of the dropped messages are sent again for each acknowledgement: what EMQX's queue had no room for comes back slowly. */
const AGAIN_PER_ACK = 2;

/** Sends consumers what is stored for them. One consumer's jobs never run two at a time (its lane), so its window needs no lock. */
export class Deliverer {
  private readonly courier: Courier;
  private readonly continuation: Continuation;

  constructor(private readonly deps: DelivererDeps) {
    this.courier = new Courier(deps);
    this.continuation = new Continuation(deps, this.courier);
  }

  /** Clients unsubscribed: their runs end. */
  left(changes: readonly ClientChange[]): Promise<void> {
    return this.continuation.left(changes);
  }

  /**
   * A job that is taken over is put behind the writes once more: acknowledgements that were accepted since it was first started must be in the
   * store before anything is sent, or what is acknowledged would be sent again.
   */
  async handle(job: Exclude<ClientJob, RetainedJob | { name: 'clients' | 'changes' }>, takenOver: boolean): Promise<void> {
    switch (job.name) {
      case 'subscribed':
        // Still as a subscription: a later look would take for lost what another one of the same storm was sent a moment ago.
        return takenOver ? this.deps.lanes.recheck(job.data.requests, 'subscribed') : this.inTurn(job, (requests) => this.subscribed(requests));
      case 'recheck':
        return takenOver ? this.deps.lanes.recheck(job.data.requests) : this.inTurn(job, (requests) => this.recheck(requests));
      case 'gathered':
        return this.deps.lanes.turn(job.data.then, job.data.requests, true);
      case 'progress':
        return this.progress(job.data.acks, takenOver);
      case 'dropped':
        return this.continuation.dropped(job.data.drops);
      case 'resume':
        return this.continuation.resume(job.data.windows, takenOver);
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
      const window = await this.courier.windows.load(consumer);
      await this.passOn(window, own);
      if (isEmpty(window)) return;
      // A copy that EMQX delivered itself leaves ours where it is, in EMQX.
      const ids = own.filter(({ id, ours }) => ours !== false && window.inFlight[id] !== undefined).map(({ id }) => id);
      // What does not count as read (Reading.ofGroup) is still to be sent again.
      const read = own.filter(({ id, sure }) => sure !== false || ids.includes(id)).map(({ id }) => id);
      const taken = takenAgain(window, ids, read);
      const moved = isHeld(taken) && ids.length > 0 ? { ...taken, movedAt: this.deps.now() } : taken;
      const wants = wantsMore(moved) || (moved.dropped !== undefined && ids.length > 0);
      if (wants && !takenOver) return this.courier.goOn(consumer, moved, AGAIN_PER_ACK * ids.length);
      await this.courier.windows.save(consumer, moved);
      if (wants) await this.deps.lanes.recheck(moved.runs.map(requestOf));
    });
  }

  /** What EMQX gave one member of a shared subscription makes room in another one's window. */
  private async passOn(window: Window, acks: readonly Progress[]): Promise<void> {
    const others = await this.courier.sentForOthers(window, acks.filter(({ topic }) => topic === undefined));
    if (others.length > 0) await this.deps.lanes.progress(others);
  }

  /** EMQX delivers what a persistent session still had: as long as acknowledgements of that come, nothing is taken for lost. */
  private async isMoving(consumer: string): Promise<boolean> {
    const window = await this.courier.windows.load(consumer);
    return isHeld(window) && (window.movedAt ?? -Infinity) > this.deps.now() - STORM_MS;
  }

  /** @param first the subscription itself; otherwise a later look for it, which takes what is not acknowledged for lost. */
  private async deliver(consumer: string, requests: readonly DeliveryRequest[], first: boolean): Promise<SendResult> {
    let window = await this.courier.windows.load(consumer);
    const lost: string[] = [];
    for (const request of await this.courier.wanted(requests)) {
      // EMQX sends nothing retained to a shared subscription.
      const leaveRetained = first && splitShare(request.filter).group === null;
      const next = subscribed(window, request, first ? toleranceOf(request) : 0, leaveRetained);
      window = first ? readAgain(next.window, request.filter) : next.window;
      lost.push(...next.lost);
    }
    await this.courier.leasesOf(consumer).giveUpAll(lost);
    const result = await this.courier.send(consumer, window, first ? Infinity : PROBE, true);
    await this.openFor(requests, result.window);
    return result;
  }

  /** Runs that had to be put off (held, in a pause, no room) go on when something happens: in this connection, or not at all (Inbox). */
  private async openFor(requests: readonly DeliveryRequest[], { runs }: Window): Promise<void> {
    const isPutOff = ({ clientid, filter, topic }: Run) => topic === '' && requests.some((each) => each.clientid === clientid && each.filter === filter);
    const clientids = runs.filter((run) => isPutOff(run) && reachesInbox(this.deps.policies, run.filter)).map(({ clientid }) => clientid);
    for (const clientid of new Set(clientids)) await new Inbox(clientid, true, this.deps.emqx).open();
  }

}

/** What a client had before is held (isHeld) until it is acknowledged or a later look takes it for lost; a group's other members just go on. */
function toleranceOf({ consumer }: DeliveryRequest): number {
  return consumer === undefined ? Infinity : GRACE_MS;
}
