import type { Policy } from '../../config/policies';
import type { PublishOutcome } from '../../emqx/api';
import { RefusedError, RetryableError } from '../../base/errors';
import type { Leases } from '../../lanes/state';
import type { DelivererDeps, Recipient } from './deps';
import { deliveryOf } from './delivery';
import type { Inbox } from './inbox';
import { KeptMarks } from './kept';
import type { Message } from '../../mqtt/message';
import type { Positions } from '../positions/positions';
import type { Page } from './reader';
import type { RetainedIds } from '../retained/retained-ids';
import { GRACE_MS, STORM_MS, TOMBSTONE_MS } from '../times';
import { reachesInbox } from '../../policies/overlap';
import { inboxTopic, isWildcard, splitShare } from '../../mqtt/topic';
import { SentFor } from './sent-for';
import { isForGroup, type Run, type Window } from './window';

/** What became of a page. */
export interface PageResult {
  /** Now unacknowledged in EMQX. */
  readonly sent: readonly Message[];
  /** Delivered, and nobody will acknowledge it (QoS 0). */
  readonly unclocked: readonly Message[];
  readonly blocked: boolean;
  /** Nobody is there, or a message that must come first is on its way: the run ends, what is left stays stored. */
  readonly ended: boolean;
  /** It ended for the second reason: somebody has to look again. */
  readonly stopped: boolean;
}

type Outcome = PublishOutcome | { readonly result: 'acknowledged' };

/**
 * What was read so long ago is not sent: this process stood still, or a server was slow, and our leases may be over by now. Another consumer may
 * have it, or have acknowledged it. ms.
 */
const FRESH_MS = GRACE_MS / 2;

/** Publishes a page of one topic's messages: those that nobody else is sending and that the subscription was not sent. */
export class PageSender {
  private readonly kept: KeptMarks;
  private readonly sentFor: SentFor;

  constructor(
    private readonly deps: DelivererDeps,
    private readonly positions: Pick<Positions, 'read'>,
    private readonly retained: Pick<RetainedIds, 'idOf'>,
  ) {
    this.kept = new KeptMarks(deps.state);
    this.sentFor = new SentFor(deps.state);
  }

  async send(recipient: Recipient, inbox: Inbox, window: Window, page: Page): Promise<PageResult> {
    const { policy, run } = page;
    const { owner, leases } = recipient;
    const acked = (message: Message) => Math.min(message.qos, run.qos) > 0;
    const sentByEmqx = await this.sentByEmqx(page);
    if (sentByEmqx !== null) await this.settle(recipient, page, [sentByEmqx]);
    const isKept = (message: Message) => policy.qos0 === 'keep' && !acked(message);
    const wanted = page.messages.filter((m) => m !== sentByEmqx && window.inFlight[m.id] === undefined && (acked(m) || policy.qos0 !== 'skip'));
    const fresh = await this.kept.note(owner, run, wanted.filter(isKept).map(({ id }) => id));
    const candidates = wanted.filter((message) => !isKept(message) || fresh.has(message.id));
    if (candidates.length === 0) return { sent: [], unclocked: [], blocked: false, ended: false, stopped: false };

    const ids = candidates.map(({ id }) => id);
    const { granted, own } = await this.lease(recipient, policy, candidates, isKept);
    // A lease of our own on something that is not in flight: we died between publishing and noting it. Later messages must not
    // overtake it (promise 6), so the run waits until the lease is over.
    const stop = candidates.findIndex((message) => own.has(message.id) && acked(message));
    const due = (stop < 0 ? candidates : candidates.slice(0, stop)).filter(({ id }) => granted.has(id));
    const unused = ids.filter((id) => granted.has(id) && !due.some((message) => message.id === id));
    await leases.giveUp(policy.mode, unused);
    const held = ids.filter((id) => !granted.has(id) && !own.has(id));
    const stopped = stop >= 0;
    const blocked = stopped || held.length > 0;
    // Not noted as sent (kept): those that somebody else was sent, and those behind the stop.
    const unsent = [...held, ...unused].filter((id) => fresh.has(id));
    await this.kept.forget(owner, run, unsent);
    if (due.length === 0) return { sent: [], unclocked: [], blocked, ended: stopped, stopped };

    const outcomes = await this.publish(recipient, inbox, page, due);
    const delivered = due.filter((_, i) => outcomes[i]?.result === 'delivered');
    const unclocked = delivered.filter((message) => !acked(message));
    await this.settle(recipient, page, unclocked);
    await this.setRefusedAside(due, outcomes);
    const nobody = due.filter((_, i) => outcomes[i]?.result === 'no-subscribers').map(({ id }) => id);
    await this.free(recipient, page, nobody);
    this.deps.metrics.messagesDelivered.inc(delivered.length);
    return { sent: delivered.filter(acked), unclocked, blocked, ended: stopped || nobody.length > 0, stopped };
  }

  /** What stays stored whoever gets it is leased against storms only (promise 9): the client's next subscription is sent it again. */
  private async lease({ leases }: Recipient, { mode }: Policy, messages: readonly Message[], isKept: (message: Message) => boolean): Promise<Leases> {
    const idsOf = (kept: boolean) => messages.filter((message) => isKept(message) === kept).map(({ id }) => id);
    const kept = await leases.take(mode, idsOf(true), STORM_MS);
    const clocked = await leases.take(mode, idsOf(false), GRACE_MS);
    return { granted: new Set([...kept.granted, ...clocked.granted]), own: new Set([...kept.own, ...clocked.own]) };
  }

  /** They were not sent. */
  private async free({ owner, leases }: Recipient, { policy, run }: Page, ids: readonly string[]): Promise<void> {
    await leases.giveUp(policy.mode, ids);
    await this.kept.forget(owner, run, ids);
  }

  /**
   * The topic's retained message where nobody acknowledges it: EMQX sent it on the subscription, and no ack will tell. Whoever
   * acknowledges is asked by waiting (RunReader).
   */
  private async sentByEmqx({ messages, run }: Page): Promise<Message | null> {
    const unacknowledged = messages.filter((message) => message.retain && Math.min(message.qos, run.qos) === 0);
    if (unacknowledged.length === 0 || splitShare(run.filter).group !== null) return null;
    const newest = await this.retained.idOf(run.topic);
    const message = unacknowledged.find(({ id }) => id === newest);
    return message !== undefined && (await this.isRetained(message)) ? message : null;
  }

  private async isRetained({ topic, id }: Message): Promise<boolean> {
    try {
      return ((await this.deps.emqx.retainer?.idOf(topic)) ?? '') >= id;
    } catch (error) {
      if (!(error instanceof RetryableError || error instanceof RefusedError)) throw error;
      // Rather twice than never, and an EMQX that only can't tell this must not hold up the client.
      return false;
    }
  }

  private async publish(recipient: Recipient, inbox: Inbox, page: Page, messages: readonly Message[]): Promise<Outcome[]> {
    const { policy, run } = page;
    try {
      const toInbox = policy.deliverTo === 'inbox';
      // Also before the first of another policy's: a run that goes on does not open it any more.
      const isOpen = !(toInbox || reachesInbox(this.deps.policies, run.filter)) || (await inbox.open());
      if (toInbox && !isOpen) return messages.map(() => ({ result: 'no-subscribers' }));
      const now = this.deps.now();
      if (now - page.readAt > FRESH_MS) throw new RetryableError(`what was read ${now - page.readAt} ms ago is read again`);
      // At the last moment: acknowledgements go on arriving.
      const acknowledged = await this.acknowledged(messages, page);
      const due = messages.filter(({ id }) => !acknowledged.has(id));
      if (isForGroup(run) && !toInbox) await this.sentFor.note(due.map(({ id }) => id), run.clientid);
      const outcomes = due.length === 0 ? [] : await this.deps.emqx.publish(due.map((message) => this.deliveryOf(message, run, toInbox, now)));
      return messages.map((message) => outcomes[due.indexOf(message)] ?? { result: 'acknowledged' });
    } catch (error) {
      // The job will be tried again and must find them free, or it would send later ones first.
      await this.free(recipient, page, messages.map(({ id }) => id));
      throw error;
    }
  }

  /** Their acknowledgements are accepted and on their way to the store: in queue mode anybody's, otherwise the client's. */
  private async acknowledged(messages: readonly Message[], { policy, run }: Page): Promise<ReadonlySet<string>> {
    // Whose acknowledgements count for a group is known only later (Reading).
    if (policy.mode === 'pubsub' && run.consumer !== undefined) return new Set();
    return this.deps.acks.known(messages.map(({ id }) => id), policy.mode === 'queue' ? null : run.clientid);
  }

  private deliveryOf(message: Message, run: Run, toInbox: boolean, now: number): ReturnType<typeof deliveryOf> {
    const topic = toInbox ? inboxTopic(run.clientid, message.topic) : message.topic;
    // Others may be subscribed to the topic with a greater QoS; EMQX takes the lesser of both for each of them.
    const qos = toInbox ? (Math.min(message.qos, run.qos) as Message['qos']) : message.qos;
    return deliveryOf(message, topic, qos, now, this.deps.signer);
  }

  /** Nobody acknowledges a QoS 0 delivery: under this policy EMQX having taken it is enough (promise 16). */
  private async settle({ consumer }: Recipient, { policy, run }: Page, delivered: readonly Message[]): Promise<void> {
    if (policy.qos0 !== 'settle' || delivered.length === 0) return;
    const filters = [splitShare(run.filter).filter].filter(isWildcard);
    if (policy.mode === 'pubsub') await this.positions.read(consumer, delivered.map(({ topic, id }) => ({ topic, id, filters })));
    else await this.remove(delivered);
  }

  private async setRefusedAside(messages: readonly Message[], outcomes: readonly Outcome[]): Promise<void> {
    for (const [i, message] of messages.entries()) {
      const outcome = outcomes[i];
      if (outcome?.result !== 'refused') continue;
      await this.deps.setAside(message, `EMQX refused it: ${outcome.reason}`);
      // No tombstone: an operator may repair the cause and retry the dead letter.
      await this.remove([message], 0);
    }
  }

  private async remove(messages: readonly Message[], tombstoneUntil = this.deps.now() + TOMBSTONE_MS): Promise<void> {
    await this.deps.store.removeMessages(messages, tombstoneUntil);
    this.deps.metrics.messagesRemoved.inc(messages.length);
  }
}
