import type { PublishOutcome } from '../emqx/api';
import type { Policy } from '../config/policies';
import { RefusedError, RetryableError } from '../errors';
import type { DelivererDeps } from './deliverer';
import type { Leases } from '../queue/state';
import { deliveryOf } from './delivery';
import { settled, withoutDropped, type DroppedRef } from './drops';
import { Inbox } from './inbox';
import { KeptMarks } from './kept';
import type { Message } from './message';
import { Pace, PAUSE_MS } from './pace';
import { policyFor } from './policy';
import { RunReader, type Page } from './reader';
import { RetainedIds } from './retained-ids';
import { GRACE_MS, STORM_MS, TOMBSTONE_MS } from './times';
import { inboxTopic, splitShare } from './topic';
import { advanced, fetched, inFlightCount, sent, type Run, type Window } from './window';

/** Whom a window belongs to, and how its changes are kept. */
export interface Recipient {
  readonly clientid: string;
  /** Of leases. */
  readonly owner: string;
  readonly save: (window: Window) => Promise<void>;
}

export interface SendResult {
  readonly window: Window;
  /** Some messages are on their way already (leases): somebody has to look again. */
  readonly blocked: boolean;
}

/** What became of a page. */
interface PageResult {
  /** Now unacknowledged in EMQX. */
  readonly sent: readonly Message[];
  /** Delivered, and nobody will acknowledge it (QoS 0). */
  readonly unclocked: readonly Message[];
  readonly blocked: boolean;
  /** Nobody is there, or a message that must come first is on its way: the run ends, what is left stays stored. */
  readonly ended: boolean;
}

/** Publishes what a client's runs ask for, while there is room in its window (promise 10). */
export class Sender {
  private readonly retained: RetainedIds;
  private readonly kept: KeptMarks;

  constructor(private readonly deps: DelivererDeps) {
    this.retained = new RetainedIds(deps.state);
    this.kept = new KeptMarks(deps.state);
  }

  /** @param again how many of those that EMQX dropped may be sent again. What comes behind them waits for their acknowledgements. */
  async send(recipient: Recipient, start: Window, again: number): Promise<SendResult> {
    const inbox = new Inbox(recipient.clientid, this.deps.emqx);
    const pace = new Pace();
    const first = await this.sendDropped(recipient, inbox, start, again);
    let { window } = first;
    let blocked = false;
    for (let run = window.runs[0]; run !== undefined && !first.full; run = window.runs[0]) {
      const result = await this.sendRun(recipient, inbox, window, run, pace);
      window = result.window;
      blocked ||= result.blocked;
      if (result.full && pace.used) {
        await this.deps.lanes.resumeLater([recipient.clientid], PAUSE_MS);
        window = { ...window, pausedUntil: this.deps.now() + PAUSE_MS };
      }
      if (result.full) break;
    }
    await recipient.save(window);
    return { window, blocked };
  }

  private async sendDropped(recipient: Recipient, inbox: Inbox, start: Window, most: number): Promise<{ window: Window; full: boolean }> {
    let window = start;
    let count = 0;
    for (const ref of start.dropped?.refs ?? []) {
      const policy = policyFor(this.deps.policies, ref.topic);
      if (count >= most || (policy !== null && inFlightCount(window) >= policy.window)) break;
      const message = await this.deps.store.getMessage(ref.id);
      window = settled(window, ref.id);
      // Another client acknowledged it, it was trimmed, or it expired meanwhile (promise 12).
      if (policy === null || message === null || (message.expiresAt ?? Infinity) <= this.deps.now()) continue;
      const result = await this.sendPage(recipient, inbox, window, { policy, messages: [message], run: runOf(recipient.clientid, ref) });
      window = sent(window, result.sent.map(({ id }) => id), this.deps.now());
      if (result.sent.length > 0) await recipient.save(window);
      if (result.ended) return { window: withoutDropped(window), full: false };
      count += result.sent.length;
    }
    const left = window.dropped?.refs.length ?? 0;
    return { window, full: left > 0 || (count > 0 && most < Infinity) };
  }

  private async sendRun(recipient: Recipient, inbox: Inbox, start: Window, first: Run, pace: Pace): Promise<SendResult & { full: boolean }> {
    const reader = new RunReader(this.deps.store, this.deps.policies, this.retained);
    let window = start;
    let blocked = false;
    for (let run = first; ; ) {
      const page = await reader.next(run, ({ window: size }) => Math.min(size - inFlightCount(window), pace.room(size)), this.deps.now());
      if (page === 'full') return { window, blocked, full: true };
      if (page === null) return { window: advanced(window, null), blocked, full: false };
      const result = await this.sendPage(recipient, inbox, window, page);
      blocked ||= result.blocked;
      pace.sent(result.unclocked);
      run = { ...page.run, sent: page.run.sent + result.sent.length + result.unclocked.length };
      window = advanced(sent(window, result.sent.map(({ id }) => id), this.deps.now()), result.ended ? null : run);
      if (page.policy.fetch.limit !== null) window = fetched(window, run);
      if (result.sent.length > 0) await recipient.save(window);
      if (result.ended) return { window, blocked, full: false };
    }
  }

  private async sendPage({ clientid, owner }: Recipient, inbox: Inbox, window: Window, page: Page): Promise<PageResult> {
    const { policy, run } = page;
    const acked = (message: Message) => Math.min(message.qos, run.qos) > 0;
    const sentByEmqx = await this.sentByEmqx(page);
    if (sentByEmqx !== null) await this.settle(policy, [sentByEmqx]);
    const isKept = (message: Message) => policy.qos0 === 'keep' && !acked(message);
    const wanted = page.messages.filter((m) => m !== sentByEmqx && window.inFlight[m.id] === undefined && (acked(m) || policy.qos0 !== 'skip'));
    const fresh = await this.kept.note(owner, run, wanted.filter(isKept).map(({ id }) => id));
    const candidates = wanted.filter((message) => !isKept(message) || fresh.has(message.id));
    if (candidates.length === 0) return { sent: [], unclocked: [], blocked: false, ended: false };

    const ids = candidates.map(({ id }) => id);
    const { granted, own } = await this.lease(candidates, owner, isKept);
    // A lease of our own on something that is not in flight: we died between publishing and noting it. Later messages must not
    // overtake it (promise 6), so the run waits until the lease is over.
    const stop = candidates.findIndex((message) => own.has(message.id) && acked(message));
    const due = (stop < 0 ? candidates : candidates.slice(0, stop)).filter(({ id }) => granted.has(id));
    const unused = ids.filter((id) => granted.has(id) && !due.some((message) => message.id === id));
    if (unused.length > 0) await this.deps.state.release(unused, owner);
    const held = ids.filter((id) => !granted.has(id) && !own.has(id));
    const blocked = stop >= 0 || held.length > 0;
    // Not noted as sent (kept): those that somebody else was sent, and those behind the stop.
    const unsent = [...held, ...unused].filter((id) => fresh.has(id));
    await this.kept.forget(owner, run, unsent);
    if (due.length === 0) return { sent: [], unclocked: [], blocked, ended: stop >= 0 };

    const outcomes = await this.publish(clientid, owner, inbox, policy, run, due);
    const delivered = due.filter((_, i) => outcomes[i]?.result === 'delivered');
    await this.settle(policy, delivered.filter((message) => !acked(message)));
    await this.setRefusedAside(due, outcomes);
    const nobody = due.filter((_, i) => outcomes[i]?.result === 'no-subscribers').map(({ id }) => id);
    await this.free(owner, run, nobody);
    this.deps.metrics.messagesDelivered.inc(delivered.length);
    const unclocked = delivered.filter((message) => !acked(message));
    return { sent: delivered.filter(acked), unclocked, blocked, ended: stop >= 0 || nobody.length > 0 };
  }

  /** What stays stored whoever gets it is leased against storms only (promise 9): the client's next subscription is sent it again. */
  private async lease(messages: readonly Message[], owner: string, isKept: (message: Message) => boolean): Promise<Leases> {
    const idsOf = (kept: boolean) => messages.filter((message) => isKept(message) === kept).map(({ id }) => id);
    const [clocked, kept] = [idsOf(false), idsOf(true)];
    const { state } = this.deps;
    if (kept.length === 0) return state.lease(clocked, owner, GRACE_MS);
    const leases = await state.lease(kept, owner, STORM_MS);
    if (clocked.length === 0) return leases;
    const more = await state.lease(clocked, owner, GRACE_MS);
    return { granted: new Set([...leases.granted, ...more.granted]), own: new Set([...leases.own, ...more.own]) };
  }

  /** They were not sent. */
  private async free(owner: string, run: Run, ids: readonly string[]): Promise<void> {
    if (ids.length > 0) await this.deps.state.release(ids, owner);
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

  private async publish(clientid: string, owner: string, inbox: Inbox, policy: Policy, run: Run, messages: readonly Message[]): Promise<PublishOutcome[]> {
    try {
      const toInbox = policy.deliverTo === 'inbox';
      if (toInbox && !(await inbox.open())) return messages.map(() => ({ result: 'no-subscribers' }));
      const now = this.deps.now();
      return await this.deps.emqx.publish(
        messages.map((message) => {
          const topic = toInbox ? inboxTopic(clientid, message.topic) : message.topic;
          // Others may be subscribed to the topic with a greater QoS; EMQX takes the lesser of both for each of them.
          const qos = toInbox ? (Math.min(message.qos, run.qos) as Message['qos']) : message.qos;
          return deliveryOf(message, topic, qos, now, this.deps.signer);
        }),
      );
    } catch (error) {
      // The job will be tried again and must find them free, or it would send later ones first.
      await this.free(owner, run, messages.map(({ id }) => id));
      throw error;
    }
  }

  /** Nobody acknowledges a QoS 0 delivery: under this policy EMQX having taken it is enough (promise 16). */
  private async settle(policy: Policy, delivered: readonly Message[]): Promise<void> {
    if (policy.qos0 === 'settle' && delivered.length > 0) await this.remove(delivered);
  }

  private async setRefusedAside(messages: readonly Message[], outcomes: readonly PublishOutcome[]): Promise<void> {
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

/** One message, once more; neither a later publish nor a limit is a question. */
function runOf(clientid: string, { topic, id, qos }: DroppedRef): Run {
  return { clientid, filter: topic, qos, at: 0, topic, id, sent: 0, window: 1, leaveRetained: false };
}
