import type { ClientChange, ClientDrop, Resume } from '../../lanes/jobs';
import { policyFor } from '../../policies/policy';
import { groupBy } from '../../base/parallel';
import { readersOf, requestsOf } from '../positions/readers';
import { consumerOf } from '../../mqtt/consumer';
import { GRACE_MS } from '../times';
import type { DelivererDeps } from './deps';
import { eachConsumer, type Courier } from './courier';
import { givenUp, nextRound } from './drops';
import { inFlightCount, requestOf, type Run, type Window } from './window';

/** Without an acknowledgement one of the dropped messages is sent again: its acknowledgement brings the rest. */
export const PROBE = 1;

/** What happens to a delivery that is under way: EMQX drops some of it, a pause is over, its client unsubscribes. */
export class Continuation {
  constructor(
    private readonly deps: DelivererDeps,
    private readonly courier: Courier,
  ) {}

  /** Promise 10: a dropped delivery frees its place in the window, and is sent again as the client takes others. */
  async dropped(drops: readonly ClientDrop[]): Promise<void> {
    await eachConsumer(drops, async (consumer, own) => {
      const before = await this.courier.windows.load(consumer);
      const { window, ids } = givenUp(before, own);
      await this.passOn(before, own.filter((drop) => drop.consumer === undefined && !ids.includes(drop.id)));
      if (ids.length === 0) return;
      await this.courier.leasesOf(consumer).giveUpAll(ids);
      const next = nextRound(window);
      if (next.round !== null) await this.deps.lanes.resumeLater([{ consumer }], GRACE_MS * 2 ** next.round);
      await this.courier.windows.save(consumer, next.window);
      for (const { id, reason } of own) if (ids.includes(id)) this.deps.metrics.deliveriesDropped.inc({ reason: dropReason(reason) });
    });
  }

  /** What a client was sent for a group is in the group's window (pubsub mode), or in that of another member (queue mode). */
  private async passOn(window: Window, drops: readonly ClientDrop[]): Promise<void> {
    const others = await this.courier.sentForOthers(window, drops);
    if (others.length > 0) await this.deps.lanes.dropped(others);
    const ofReaders = drops.filter(({ topic }) => policyFor(this.deps.policies, topic)?.mode === 'pubsub');
    if (ofReaders.length === 0) return;
    const subscriptions = await this.deps.store.listSubscriptions(ofReaders[0]?.clientid ?? '');
    const forGroups = ofReaders.flatMap((drop) => readersOf(subscriptions, drop.topic).groups.map((consumer) => ({ ...drop, consumer })));
    if (forGroups.length > 0) await this.deps.lanes.dropped(forGroups);
  }

  async resume(due: readonly Resume[], takenOver: boolean): Promise<void> {
    await eachConsumer(due, async (consumer, own) => {
      const { pausedUntil, ...rest } = await this.courier.windows.load(consumer);
      const isOver = own.some(({ until }) => until === pausedUntil);
      // There is a newer pause, with a job of its own: one chain of them for a consumer.
      if (pausedUntil !== undefined && !isOver && own.every(({ until }) => until !== undefined)) return;
      const window = pausedUntil === undefined || isOver ? rest : { ...rest, pausedUntil };
      if (takenOver) {
        await this.courier.windows.save(consumer, window);
        await this.deps.lanes.recheck(window.runs.map(requestOf));
        if ((window.dropped?.refs.length ?? 0) > 0) await this.deps.lanes.resumeLater([{ consumer }], GRACE_MS);
        return;
      }
      const runs = await this.withoutLeft(await this.courier.wanted(window.runs));
      // What is on its way is acknowledged or dropped: either asks for more.
      await this.courier.goOn(consumer, { ...window, runs }, inFlightCount(window) > 0 ? 0 : PROBE);
    });
  }

  /** Clients unsubscribed: their runs end. */
  async left(changes: readonly ClientChange[]): Promise<void> {
    for (const change of changes) {
      if (change.kind !== 'unsubscribed') continue;
      const { clientid, filter, at } = change;
      const consumers = new Set(requestsOf(this.deps.policies, { clientid, filter, at, qos: 0 }).map(consumerOf));
      for (const consumer of consumers) {
        const { runs } = await this.courier.windows.load(consumer);
        if (runs.some((run) => run.clientid === clientid && run.filter === filter)) await this.deps.lanes.resumeLater([{ consumer }], 0);
      }
    }
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
}

/** A metric's label: EMQX's reasons, and no others. */
function dropReason(reason: string): string {
  return ['queue_full', 'expired', 'too_large', 'no_local', 'qos0_msg'].includes(reason) ? reason : 'other';
}
