import type { DelivererDeps, Recipient } from './deps';
import type { DeliveryRequest, DroppedRef } from '../../lanes/jobs';
import { settled, withoutDropped } from './drops';
import { Inbox } from './inbox';
import { Pace, PAUSE_MS } from './pace';
import { PageSender } from './page-sender';
import { policyFor } from '../../policies/policy';
import { Positions } from '../positions/positions';
import { RunReader } from './reader';
import { RetainedIds } from '../retained/retained-ids';
import { GRACE_MS } from '../times';
import { advanced, fetched, inFlightCount, requestOf, sent, type Run, type Window } from './window';

export interface SendResult {
  readonly window: Window;
  /** Some messages are on their way already (leases): somebody has to look again. */
  readonly blocked: boolean;
  /** What ended at one that we may have sent ourselves, without knowing. */
  readonly stopped: readonly DeliveryRequest[];
}

/** Publishes what a consumer's runs ask for, while there is room in its window (promise 10). */
export class Sender {
  private readonly retained: RetainedIds;
  private readonly positions: Positions;
  private readonly pages: PageSender;

  constructor(private readonly deps: DelivererDeps) {
    this.retained = new RetainedIds(deps.state);
    this.positions = new Positions(deps);
    this.pages = new PageSender(deps, this.positions, this.retained);
  }

  /**
   * @param again how many of those that EMQX dropped may be sent again. What comes behind them waits for their acknowledgements.
   * @param opens whether inboxes are subscribed for runs that have not begun: the client has just subscribed, or this is a look for it.
   */
  async send(recipient: Recipient, start: Window, again: number, opens: boolean): Promise<SendResult> {
    const pace = new Pace();
    const first = await this.sendDropped(recipient, start, again);
    let { window } = first;
    let inbox = null as Inbox | null;
    let blocked = false;
    const stopped: DeliveryRequest[] = [];
    for (let run = window.runs[0]; run !== undefined && !first.full; run = window.runs[0]) {
      const isNew = opens && run.topic === '';
      if (inbox === null || !inbox.serves(run.clientid, isNew)) inbox = new Inbox(run.clientid, isNew, this.deps.emqx);
      const result = await this.sendRun(recipient, inbox, window, run, pace);
      window = result.window;
      blocked ||= result.blocked;
      stopped.push(...result.stopped);
      if (result.full && pace.used) {
        const until = this.deps.now() + PAUSE_MS;
        await this.deps.lanes.resumeLater([{ consumer: recipient.consumer, until }], PAUSE_MS);
        window = { ...window, pausedUntil: until };
      }
      if (result.full) break;
    }
    await recipient.save(window);
    return { window, blocked, stopped };
  }

  private async sendDropped(recipient: Recipient, start: Window, most: number): Promise<{ window: Window; full: boolean }> {
    let window = start;
    let count = 0;
    for (const ref of start.dropped?.refs ?? []) {
      const policy = policyFor(this.deps.policies, ref.topic);
      if (count >= most || (policy !== null && inFlightCount(window) >= policy.window)) break;
      const readAt = this.deps.now();
      const message = await this.deps.store.getMessage(ref.id);
      const before = window;
      window = settled(window, ref.id);
      // Another client acknowledged it, it was trimmed, or it expired meanwhile (promise 12).
      if (policy === null || message === null || (message.expiresAt ?? Infinity) <= this.deps.now()) continue;
      const inbox = new Inbox(ref.clientid, false, this.deps.emqx);
      const result = await this.pages.send(recipient, inbox, window, { policy, messages: [message], run: runOf(ref), readAt });
      window = sent(window, result.sent.map(({ id }) => id), readAt);
      if (result.sent.length > 0) await recipient.save(window);
      if (result.stopped) {
        await this.deps.lanes.resumeLater([{ consumer: recipient.consumer }], GRACE_MS);
        return { window: before, full: true };
      }
      if (result.ended) return { window: withoutDropped(window), full: false };
      count += result.sent.length;
    }
    const left = window.dropped?.refs.length ?? 0;
    return { window, full: left > 0 || (count > 0 && most < Infinity) };
  }

  private async sendRun(recipient: Recipient, inbox: Inbox, start: Window, first: Run, pace: Pace): Promise<SendResult & { full: boolean }> {
    const place = { consumer: recipient.consumer, positions: this.positions };
    const reader = new RunReader(this.deps.store, this.deps.policies, this.retained, place);
    let window = start;
    let blocked = false;
    for (let run = first; ; ) {
      const page = await reader.next(run, ({ window: size }) => Math.min(size - inFlightCount(window), pace.room(size)), this.deps.now());
      if (page === 'full') return { window, blocked, full: true, stopped: [] };
      if (page === null) return { window: advanced(window, null), blocked, full: false, stopped: [] };
      // Not when EMQX has answered: the client may have come back meanwhile, with a new connection that has none of this (isHeld).
      const sentAt = this.deps.now();
      const result = await this.pages.send(recipient, inbox, window, page);
      blocked ||= result.blocked;
      pace.sent(result.unclocked);
      run = { ...page.run, sent: page.run.sent + result.sent.length + result.unclocked.length };
      window = advanced(sent(window, result.sent.map(({ id }) => id), sentAt), result.ended ? null : run);
      if (page.policy.fetch.limit !== null) window = fetched(window, run, result.sent.map(({ id }) => id));
      if (result.sent.length > 0) await recipient.save(window);
      if (result.ended) return { window, blocked, full: false, stopped: result.stopped ? [requestOf(run)] : [] };
    }
  }
}

/** One message, once more; neither a later publish nor a limit is a question. */
function runOf({ clientid, topic, id, qos }: DroppedRef): Run {
  return { clientid, filter: topic, qos, at: 0, topic, id, sent: 0, window: 1, leaveRetained: false };
}
