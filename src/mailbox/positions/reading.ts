import type { Policy } from '../../config/policies';
import type { ClientJob, DeliveryRequest, Late, Progress } from '../../lanes/jobs';
import type { Lanes } from '../../lanes/lanes';
import type { SharedState } from '../../lanes/state';
import type { Store, Subscription } from '../../stores/store';
import type { AcceptedAcks } from '../accepted-acks';
import { readersOf, serves, wildcardsOf } from './readers';
import { clientConsumer, consumerOf } from '../../mqtt/consumer';
import { canReach } from '../../policies/overlap';
import { groupBy } from '../../base/parallel';
import type { Positions, ReadRef } from './positions';
import { splitShare } from '../../mqtt/topic';
import type { Window } from '../deliver/window';
import { loadWindow } from '../deliver/windows';

export interface ReadingDeps {
  readonly positions: Pick<Positions, 'subscribed' | 'read' | 'late' | 'forget'>;
  readonly store: Pick<Store, 'listSubscriptions' | 'putSubscriptions'>;
  readonly state: Pick<SharedState, 'get'>;
  readonly lanes: Pick<Lanes, 'progress'>;
  readonly acks: Pick<AcceptedAcks, 'settled'>;
  readonly policies: readonly Policy[];
  readonly now: () => number;
}

/** Old subscriptions are deleted after 14 days at the earliest. */
const KEEP_EVERY_MS = 24 * 3_600_000;
const CLIENTS_REMEMBERED = 10_000;

type PubsubAck = Progress & { readonly topic: string };

/** What consumers of pubsub topics have read, from their subscriptions and acknowledgements. Needs no EMQX. */
export class Reading {
  /** Jobs that were tried before in this process. */
  private readonly begun = new WeakSet<ClientJob>();
  /** By client id: when its subscriptions were last noted as seen (ms). */
  private readonly seen = new Map<string, number>();

  constructor(private readonly deps: ReadingDeps) {}

  /** Before the job's other work: what was acknowledged is not sent again. */
  async handle(job: ClientJob, takenOver = false): Promise<void> {
    const isRepeated = takenOver || this.begun.has(job);
    this.begun.add(job);
    if (job.name === 'subscribed' && job.data.turn !== true) await this.subscribed(job.data.requests);
    else if (job.name === 'progress') await this.acknowledged(job.data.acks, isRepeated);
    else if (job.name === 'late') await this.late(job.data.late);
    else if (job.name === 'forget') await this.forget(job.data.positions);
  }

  private async subscribed(requests: readonly DeliveryRequest[]): Promise<void> {
    for (const request of requests) {
      const { filter } = splitShare(request.filter);
      const isReader = serves(request, 'pubsub') && canReach(this.deps.policies, filter, 'pubsub');
      if (isReader) await this.deps.positions.subscribed(consumerOf(request), filter, request.at);
    }
  }

  private async acknowledged(acks: readonly Progress[], isRepeated: boolean): Promise<void> {
    const own = acks.filter((ack): ack is PubsubAck => ack.topic !== undefined);
    for (const [clientid, ofClient] of groupBy(own.filter(({ consumer }) => consumer === undefined), (ack) => ack.clientid)) {
      await this.ofClient(clientid, ofClient, isRepeated);
    }
    for (const [consumer, ofGroup] of groupBy(own.filter(({ consumer }) => consumer !== undefined), consumerOf)) await this.ofGroup(consumer, ofGroup);
  }

  /** In the client's lane, behind the subscriptions that it made before: finds out for whom it read. */
  private async ofClient(clientid: string, acks: readonly PubsubAck[], isRepeated: boolean): Promise<void> {
    const subscriptions = await this.deps.store.listSubscriptions(clientid);
    const isMember = subscriptions.some(({ topic }) => splitShare(topic).group !== null);
    if (isMember) await this.keep(clientid, subscriptions);
    const inFlight = isMember ? await this.inFlight(clientConsumer(clientid)) : {};
    const read: ReadRef[] = [];
    const forGroups: Progress[] = [];
    for (const ack of acks) {
      const { client, groups, sure } = readersOf(subscriptions, ack.topic);
      const isOwn = ack.ours === true && inFlight[ack.id] !== undefined;
      if (client || isOwn) read.push(refOf(subscriptions, clientConsumer(clientid), ack));
      // It may have left the subscription of its own that brought it. A job that is repeated has changed the window.
      const isSure = sure && !isOwn && !(ack.ours === true && isRepeated);
      for (const consumer of groups) forGroups.push({ ...ack, consumer, sure: isSure, filters: wildcardsOf(subscriptions, consumer, ack.topic) });
    }
    await this.deps.positions.read(clientConsumer(clientid), read);
    await this.deps.acks.settled(acks.map(({ id }) => ({ id, reader: clientid })));
    if (forGroups.length > 0) await this.deps.lanes.progress(forGroups);
  }

  /**
   * A member that acknowledges is there, although no event tells of its subscriptions again: example, a client that stays connected for months, with the
   * rule `offline-messages`. Without this its subscriptions would be deleted as old ones, and its acknowledgements would no longer count for its group.
   */
  private async keep(clientid: string, subscriptions: readonly Subscription[]): Promise<void> {
    const now = this.deps.now();
    if (now - (this.seen.get(clientid) ?? -Infinity) < KEEP_EVERY_MS) return;
    if (this.seen.size >= CLIENTS_REMEMBERED) this.seen.clear();
    await this.deps.store.putSubscriptions(subscriptions.map((each) => ({ ...each, seenAt: now })));
    this.seen.set(clientid, now);
  }

  /**
   * A member that may have got the message by another subscription, too, has read it for the group if the group was sent it; of what EMQX
   * delivered itself nothing tells, and the group may get it again.
   */
  private async ofGroup(consumer: string, acks: readonly PubsubAck[]): Promise<void> {
    const inFlight = acks.some(({ sure }) => sure === false) ? await this.inFlight(consumer) : {};
    const counted = acks.filter(({ id, ours, sure }) => sure !== false || (ours && inFlight[id] !== undefined));
    await this.deps.positions.read(consumer, counted.map(({ topic, id, filters }) => ({ topic, id, filters: filters ?? [] })));
  }

  private async late(late: readonly Late[]): Promise<void> {
    for (const [consumer, own] of groupBy(late, (each) => each.consumer)) await this.deps.positions.late(consumer, own);
  }

  private async forget(positions: readonly Omit<Late, 'id'>[]): Promise<void> {
    for (const [consumer, own] of groupBy(positions, (each) => each.consumer)) await this.deps.positions.forget(consumer, own.map(({ topic }) => topic));
  }

  private async inFlight(consumer: string): Promise<Window['inFlight']> {
    return (await loadWindow(this.deps.state, consumer)).inFlight;
  }
}

function refOf(subscriptions: readonly Subscription[], consumer: string, { topic, id }: PubsubAck): ReadRef {
  return { topic, id, filters: wildcardsOf(subscriptions, consumer, topic) };
}
