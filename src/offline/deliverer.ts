import { createHash } from 'node:crypto';
import type { Policy } from '../config/policies';
import type { EmqxApi } from '../emqx/api';
import type { Metrics } from '../ops/metrics';
import type { ClientDrop, ClientJob, DeliveryRequest, Progress, RetainedJob } from '../queue/jobs';
import type { Lanes } from '../queue/lanes';
import type { SharedState } from '../queue/state';
import type { Store } from '../stores/store';
import { givenUp, nextRound, readAgain, takenAgain } from './drops';
import type { Message } from './message';
import { Sender, type SendResult } from './sender';
import type { Signer } from './signature';
import { GRACE_MS, STORM_MS, WINDOW_TTL_MS } from './times';
import { splitShare } from './topic';
import { EMPTY, hasSentBefore, inFlightCount, isEmpty, isHeld, subscribed, wantsMore, type Run, type Window } from './window';

/** How many of the dropped messages are sent again for each acknowledgement: what EMQX's queue had no room for comes back slowly. */
const AGAIN_PER_ACK = 2;
/** And without one: its acknowledgement brings the rest. */
const PROBE = 1;

/** Clients that one job serves at a time. */
const PARALLEL = 16;

export interface DelivererDeps {
  readonly store: Store;
  readonly emqx: EmqxApi;
  readonly state: SharedState;
  readonly lanes: Pick<Lanes, 'recheck' | 'recheckLater' | 'resumeLater'>;
  readonly policies: readonly Policy[];
  readonly signer: Signer;
  readonly metrics: Metrics;
  /** A message that EMQX will never take. */
  readonly setAside: (message: Message, reason: string) => Promise<void>;
  readonly now: () => number;
}

/** Sends clients what is stored for them. One client's jobs never run two at a time (its lane), so its window needs no lock. */
export class Deliverer {
  private readonly sender: Sender;

  constructor(private readonly deps: DelivererDeps) {
    this.sender = new Sender(deps);
  }

  /**
   * A job that is taken over is put behind fences again: acknowledgements that were accepted since it was first started must be in the store
   * before anything is sent, or what is acknowledged would be sent again.
   */
  async handle(job: Exclude<ClientJob, RetainedJob | { name: 'changes' }>, takenOver: boolean): Promise<void> {
    switch (job.name) {
      case 'subscribed':
        if (!takenOver) return this.subscribed(job.data.requests);
        await this.deps.lanes.recheck(job.data.requests);
        return this.deps.lanes.recheckLater(job.data.requests, GRACE_MS);
      case 'due':
        return this.deps.lanes.recheck(job.data.requests);
      case 'recheck':
        return takenOver ? this.deps.lanes.recheck(job.data.requests) : this.recheck(job.data.requests);
      case 'progress':
        return this.progress(job.data.acks, takenOver);
      case 'dropped':
        return this.dropped(job.data.drops);
      case 'resume':
        return this.resume(job.data.clients, takenOver);
    }
  }

  private async subscribed(requests: readonly DeliveryRequest[]): Promise<void> {
    const early: DeliveryRequest[] = [];
    await this.eachClient(requests, async (clientid, own) => {
      const { blocked, window } = await this.deliver(clientid, own, Infinity, true);
      for (const request of own) if (blocked || hasSentBefore(window, request.at)) early.push(request);
    });
    // Late publishes (promise 5), and what another client or an earlier subscription of this one did not acknowledge.
    await this.deps.lanes.recheckLater(requests, GRACE_MS);
    if (early.length > 0) await this.deps.lanes.recheckLater(early, STORM_MS);
  }

  private async recheck(requests: readonly DeliveryRequest[]): Promise<void> {
    const again: DeliveryRequest[] = [];
    const soon: DeliveryRequest[] = [];
    await this.eachClient(requests, async (clientid, own) => {
      if (await this.isMoving(clientid)) return void soon.push(...own);
      const { blocked } = await this.deliver(clientid, own, 0, false);
      if (blocked) again.push(...own);
    });
    if (again.length > 0) await this.deps.lanes.recheckLater(again, GRACE_MS);
    if (soon.length > 0) await this.deps.lanes.recheckLater(soon, STORM_MS);
  }

  private async progress(acks: readonly Progress[], takenOver: boolean): Promise<void> {
    await this.eachClient(acks, async (clientid, own) => {
      const window = await this.load(clientid);
      if (isEmpty(window)) return;
      const ids = own.map(({ id }) => id).filter((id) => window.inFlight[id] !== undefined);
      const taken = takenAgain(window, own.map(({ id }) => id));
      const moved = isHeld(taken) && ids.length > 0 ? { ...taken, movedAt: this.deps.now() } : taken;
      const wants = wantsMore(moved) || (moved.dropped !== undefined && ids.length > 0);
      if (wants && !takenOver) return void (await this.send(clientid, moved, AGAIN_PER_ACK * ids.length));
      await this.save(clientid, moved);
      if (wants) await this.deps.lanes.recheck(moved.runs.map(requestOf));
    });
  }

  /** Promise 10: a dropped delivery frees its place in the window, and is sent again as the client takes others. */
  private async dropped(drops: readonly ClientDrop[]): Promise<void> {
    await this.eachClient(drops, async (clientid, own) => {
      const { window, ids } = givenUp(await this.load(clientid), own);
      if (ids.length === 0) return;
      await this.deps.state.release(ids, ownerOf(clientid));
      const next = nextRound(window);
      if (next.round !== null) await this.deps.lanes.resumeLater([clientid], GRACE_MS * 2 ** next.round);
      await this.save(clientid, next.window);
      for (const { id, reason } of own) if (ids.includes(id)) this.deps.metrics.deliveriesDropped.inc({ reason: dropReason(reason) });
    });
  }

  private async resume(clients: readonly { clientid: string }[], takenOver: boolean): Promise<void> {
    await this.eachClient(clients, async (clientid) => {
      const { pausedUntil: _over, ...window } = await this.load(clientid);
      if (takenOver) {
        await this.save(clientid, window);
        await this.deps.lanes.recheck(window.runs.map(requestOf));
        if ((window.dropped?.refs.length ?? 0) > 0) await this.deps.lanes.resumeLater([clientid], GRACE_MS);
      } else if (await this.hasLeft(clientid, window)) {
        await this.save(clientid, { ...window, runs: [] });
      } else {
        // What is on its way is acknowledged or dropped: either asks for more.
        await this.send(clientid, window, inFlightCount(window) > 0 ? 0 : PROBE);
      }
    });
  }

  /** A session that outlives its connection takes QoS 0 messages until its queue is full, and EMQX says nothing: they stay here instead. */
  private async hasLeft(clientid: string, { runs }: Window): Promise<boolean> {
    if (runs.length === 0) return false;
    const state = await this.deps.store.getClientState(clientid);
    return state !== null && !state.connected && runs.every(({ at }) => at < state.at);
  }

  /** EMQX delivers what a persistent session still had: as long as acknowledgements of that come, nothing is taken for lost. */
  private async isMoving(clientid: string): Promise<boolean> {
    const window = await this.load(clientid);
    return isHeld(window) && (window.movedAt ?? -Infinity) > this.deps.now() - STORM_MS;
  }

  private async deliver(clientid: string, requests: readonly DeliveryRequest[], toleranceMs: number, first: boolean): Promise<SendResult> {
    let window = await this.load(clientid);
    const lost: string[] = [];
    for (const request of requests) {
      // EMQX sends nothing retained to a shared subscription.
      const leaveRetained = first && splitShare(request.filter).group === null;
      const next = subscribed(window, request, toleranceMs, leaveRetained);
      window = first ? readAgain(next.window, request.filter) : next.window;
      lost.push(...next.lost);
    }
    if (lost.length > 0) await this.deps.state.release(lost, ownerOf(clientid));
    return this.send(clientid, window, first ? Infinity : PROBE);
  }

  private async send(clientid: string, window: Window, again: number): Promise<SendResult> {
    if (isHeld(window) || (window.pausedUntil ?? -Infinity) > this.deps.now()) {
      await this.save(clientid, window);
      return { window, blocked: false };
    }
    return this.sender.send({ clientid, owner: ownerOf(clientid), save: (next) => this.save(clientid, next) }, window, again);
  }

  private load(clientid: string): Promise<Window> {
    return loadWindow(this.deps.state, clientid);
  }

  private async save(clientid: string, window: Window): Promise<void> {
    const key = `window:${ownerOf(clientid)}`;
    if (isEmpty(window)) await this.deps.state.delete(key);
    else await this.deps.state.set(key, JSON.stringify(window), WINDOW_TTL_MS);
  }

  private async eachClient<T extends { clientid: string }>(items: readonly T[], work: (clientid: string, own: T[]) => Promise<void>): Promise<void> {
    const byClient = new Map<string, T[]>();
    for (const item of items) byClient.set(item.clientid, [...(byClient.get(item.clientid) ?? []), item]);
    const clients = [...byClient];
    for (let i = 0; i < clients.length; i += PARALLEL) {
      const results = await Promise.allSettled(clients.slice(i, i + PARALLEL).map(([clientid, own]) => work(clientid, own)));
      for (const result of results) if (result.status === 'rejected') throw result.reason;
    }
  }
}

/** A metric's label: EMQX's reasons, and no others. */
function dropReason(reason: string): string {
  return ['queue_full', 'expired', 'too_large', 'no_local', 'qos0_msg'].includes(reason) ? reason : 'other';
}

function requestOf({ clientid, filter, qos, at }: Run): DeliveryRequest {
  return { clientid, filter, qos, at };
}

export async function loadWindow(state: Pick<SharedState, 'get'>, clientid: string): Promise<Window> {
  const stored = await state.get(`window:${ownerOf(clientid)}`);
  return stored === null ? EMPTY : (JSON.parse(stored) as Window);
}

/** Client ids may have 65,535 bytes; keys stay short. */
function ownerOf(clientid: string): string {
  return createHash('sha256').update(clientid).digest('hex');
}
