import type { EmqxApi, PublishOutcome } from '../emqx/api';
import type { Policy } from '../config/policies';
import { RefusedError, RetryableError } from '../errors';
import type { DelivererDeps } from './deliverer';
import { deliveryOf } from './delivery';
import type { Message } from './message';
import { RunReader, type Page } from './reader';
import { RetainedIds } from './retained-ids';
import { GRACE_MS, TOMBSTONE_MS } from './times';
import { inboxFilter, inboxTopic, splitShare } from './topic';
import { advanced, inFlightCount, sent, type Run, type Window } from './window';

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
  readonly blocked: boolean;
  /** Nobody is there, or a message that must come first is on its way: the run ends, what is left stays stored. */
  readonly ended: boolean;
}

/** Publishes what a client's runs ask for, while there is room in its window (promise 10). */
export class Sender {
  private readonly retained: RetainedIds;

  constructor(private readonly deps: DelivererDeps) {
    this.retained = new RetainedIds(deps.state);
  }

  async send(recipient: Recipient, start: Window): Promise<SendResult> {
    const inbox = new Inbox(recipient.clientid, this.deps.emqx);
    let window = start;
    let blocked = false;
    for (let run = window.runs[0]; run !== undefined; run = window.runs[0]) {
      const result = await this.sendRun(recipient, inbox, window, run);
      window = result.window;
      blocked ||= result.blocked;
      if (result.full) break;
    }
    await recipient.save(window);
    return { window, blocked };
  }

  private async sendRun(recipient: Recipient, inbox: Inbox, start: Window, first: Run): Promise<SendResult & { full: boolean }> {
    const reader = new RunReader(this.deps.store, this.deps.policies, this.retained);
    let window = start;
    let blocked = false;
    for (let run = first; ; ) {
      const page = await reader.next(run, (policy) => policy.window - inFlightCount(window), this.deps.now());
      if (page === 'full') return { window, blocked, full: true };
      if (page === null) return { window: advanced(window, null), blocked, full: false };
      const result = await this.sendPage(recipient, inbox, window, page);
      blocked ||= result.blocked;
      run = { ...page.run, sent: page.run.sent + result.sent.length };
      window = advanced(sent(window, result.sent.map(({ id }) => id), this.deps.now()), result.ended ? null : run);
      if (result.sent.length > 0) await recipient.save(window);
      if (result.ended) return { window, blocked, full: false };
    }
  }

  private async sendPage({ clientid, owner }: Recipient, inbox: Inbox, window: Window, page: Page): Promise<PageResult> {
    const { policy, run } = page;
    const acked = (message: Message) => Math.min(message.qos, run.qos) > 0;
    const sentByEmqx = await this.sentByEmqx(page);
    if (sentByEmqx !== null) await this.settle(policy, [sentByEmqx]);
    const candidates = page.messages.filter((m) => m !== sentByEmqx && window.inFlight[m.id] === undefined && (acked(m) || policy.qos0 !== 'skip'));
    if (candidates.length === 0) return { sent: [], blocked: false, ended: false };

    const ids = candidates.map(({ id }) => id);
    const { granted, own } = await this.deps.state.lease(ids, owner, GRACE_MS);
    // A lease of our own on something that is not in flight: we died between publishing and noting it. Later messages must not
    // overtake it (promise 6), so the run waits until the lease is over.
    const stop = candidates.findIndex((message) => own.has(message.id) && acked(message));
    const due = (stop < 0 ? candidates : candidates.slice(0, stop)).filter(({ id }) => granted.has(id));
    const unused = ids.filter((id) => granted.has(id) && !due.some((message) => message.id === id));
    if (unused.length > 0) await this.deps.state.release(unused, owner);
    const blocked = stop >= 0 || ids.some((id) => !granted.has(id) && !own.has(id));
    if (due.length === 0) return { sent: [], blocked, ended: stop >= 0 };

    const outcomes = await this.publish(clientid, owner, inbox, policy, run, due);
    const delivered = due.filter((_, i) => outcomes[i]?.result === 'delivered');
    await this.settle(policy, delivered.filter((message) => !acked(message)));
    await this.setRefusedAside(due, outcomes);
    const nobody = due.filter((_, i) => outcomes[i]?.result === 'no-subscribers').map(({ id }) => id);
    if (nobody.length > 0) await this.deps.state.release(nobody, owner);
    this.deps.metrics.messagesDelivered.inc(delivered.length);
    return { sent: delivered.filter(acked), blocked, ended: stop >= 0 || nobody.length > 0 };
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
      await this.deps.state.release(messages.map(({ id }) => id), owner);
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

/** The client's own topic: subscribed by us, once for each sending, as sessions come and go. */
class Inbox {
  private opened: boolean | null = null;

  constructor(
    private readonly clientid: string,
    private readonly emqx: EmqxApi,
  ) {}

  /** @returns false when the client is not connected. */
  async open(): Promise<boolean> {
    // QoS 2: each message then keeps its own.
    this.opened ??= (await this.emqx.subscribe(this.clientid, [{ topic: inboxFilter(this.clientid), qos: 2 }])) === 'subscribed';
    return this.opened;
  }
}
