import type { DeliveryRequest } from '../../lanes/jobs';
import { hasLeft } from '../clients/left';
import { eachOf, groupBy } from '../../base/parallel';
import { consumerOf } from '../../mqtt/consumer';
import { GRACE_MS } from '../times';
import { DeliveryLeases } from './delivery-leases';
import type { DelivererDeps } from './deps';
import { Sender, type SendResult } from './sender';
import { SentFor } from './sent-for';
import { isForGroup, isHeld, type Window } from './window';
import { ownerOf, Windows } from './windows';

/** Consumers that one job serves at a time. */
const PARALLEL = 16;

/** What all that sends has in common: consumers' windows, and the way to the sender. */
export class Courier {
  readonly windows: Windows;
  private readonly sender: Sender;
  private readonly sentFor: SentFor;

  constructor(private readonly deps: DelivererDeps) {
    this.windows = new Windows(deps.state);
    this.sender = new Sender(deps);
    this.sentFor = new SentFor(deps.state);
  }

  /** @param again see Sender.send. @param opens a run that begins may open the client's inbox. */
  async send(consumer: string, window: Window, again: number, opens = false): Promise<SendResult> {
    if (isHeld(window) || (window.pausedUntil ?? -Infinity) > this.deps.now()) {
      await this.windows.save(consumer, window);
      return { window, blocked: false, stopped: [] };
    }
    const save = (next: Window) => this.windows.save(consumer, next);
    return this.sender.send({ consumer, owner: ownerOf(consumer), leases: this.leasesOf(consumer), save }, window, again, opens);
  }

  /** Not for a subscription: nobody else looks again. */
  async goOn(consumer: string, window: Window, again: number): Promise<void> {
    const { stopped } = await this.send(consumer, window, again);
    if (stopped.length > 0) await this.deps.lanes.recheckLater(stopped, GRACE_MS);
  }

  /** Those whose clients have not unsubscribed meanwhile. */
  async wanted<T extends DeliveryRequest>(requests: readonly T[]): Promise<T[]> {
    const left = await Promise.all(requests.map((request) => hasLeft(this.deps.state, request)));
    return requests.filter((_, i) => left[i] === false);
  }

  /** Of what happened to messages that this client had: what was sent for others of its shared subscriptions, with their client ids. */
  async sentForOthers<T extends { readonly clientid: string; readonly id: string }>(window: Window, items: readonly T[]): Promise<T[]> {
    const hasGroup = window.runs.some(isForGroup);
    const asked = items.filter(({ id }) => hasGroup || window.inFlight[id] === undefined);
    const whose = await this.sentFor.whose(asked.map(({ id }) => id));
    return asked.flatMap((item) => {
      const clientid = whose.get(item.id) ?? item.clientid;
      return clientid === item.clientid ? [] : [{ ...item, clientid }];
    });
  }

  leasesOf(consumer: string): DeliveryLeases {
    return new DeliveryLeases(this.deps.state, ownerOf(consumer));
  }
}

/** All of a consumer's items at once. */
export function eachConsumer<T extends Parameters<typeof consumerOf>[0]>(items: readonly T[], work: (consumer: string, own: T[]) => Promise<void>): Promise<void> {
  return eachOf([...groupBy(items, consumerOf)], PARALLEL, ([consumer, own]) => work(consumer, own));
}
