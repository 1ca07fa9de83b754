import { requestsOf } from '../../../src/mailbox/positions/readers';
import { clientConsumer, consumerOf, mailboxKey } from '../../../src/mqtt/consumer';
import { loadMailbox } from '../../../src/mailbox/pass/boxes';
import type { OfflineEvent } from '../../../src/events/event';
import { GROUP_LOST_MS, ON_ITS_WAY_MS } from '../../../src/mailbox/times';
import { storedId, type Copy, type Session } from './broker';
import type { Simulation } from './index';
import type { Entry } from './queue';

interface Sent {
  readonly id: string;
  readonly at: number;
  readonly times: number;
  readonly session: Session;
}

/**
 * What must hold of every delivery, whatever the order of things; a model beside the simulation. A consumer is a
 * client, or a shared group in pubsub mode; in queue mode an acknowledgement counts for all.
 */
export class Ledger {
  readonly failures: string[] = [];
  /** By consumer: which acknowledgements were accepted, and when (in order of acceptance). */
  private readonly acked = new Map<string, Map<string, number>>();
  /** By consumer, filter and time: when the subscription was accepted. */
  private readonly subscriptions = new Map<string, number>();
  private readonly subscribedAt = new Map<string, number[]>();
  /** By consumer, the last time each was sent. */
  private readonly sent = new Map<string, Map<string, Sent>>();
  private readonly dropped = new Set<string>();
  /** EMQX's own copies: the next subscription finds them. */
  readonly lostByEmqx = new Set<string>();
  private readonly late = new Set<string>();
  private readonly seen = new Map<Session, Set<string>>();
  /** By topic and publisher. */
  private readonly greatest = new Map<string, string>();
  /** By message id. */
  private readonly publishers = new Map<string, string>();
  private accepted = 0;
  /** Everything accepted up to here has been worked on. */
  private settled = 0;
  private job: Entry | null = null;

  constructor(private readonly world: Simulation) {
    world.broker.onDelivery = (session, copy) => this.delivered(session, copy);
    world.onJob = (entry) => void (this.job = entry);
  }

  get isQueue(): boolean {
    return this.world.policies[0]?.mode === 'queue';
  }

  onSettled(): void {
    this.settled = this.accepted;
  }

  /** Before the event is given to the world. */
  onEvent(event: OfflineEvent): void {
    this.accepted++;
    if (event.type === 'acked') {
      const id = event.mark?.id ?? event.id ?? '';
      const acked = of(this.acked, this.reader(event.clientid), Map<string, number>);
      if (!acked.has(id)) acked.set(id, this.accepted);
    }
    if (event.type === 'subscribed') {
      for (const request of requestsOf(this.world.policies, event)) {
        this.subscriptions.set(keyOf(request), this.accepted);
        const consumer = consumerOf(request);
        this.subscribedAt.set(consumer, [...(this.subscribedAt.get(consumer) ?? []), event.at]);
      }
    }
    if (event.type === 'publish') {
      const { topic, id, clientid } = event.message;
      const stream = `${clientid} ${topic}`;
      this.publishers.set(id, clientid);
      if (id < (this.greatest.get(stream) ?? '')) this.late.add(id);
      else this.greatest.set(stream, id);
    }
  }

  onDrop(copy: Copy): void {
    this.dropped.add(storedId(copy));
    if (copy.id !== null) this.lostByEmqx.add(storedId(copy));
  }

  /** Whose acknowledgement it is: plain subscribers and members of the group are different clients here. */
  private reader(clientid: string): string {
    if (this.isQueue) return 'everybody';
    return isMember(clientid) ? '$share/g' : clientConsumer(clientid);
  }

  isAcked(consumer: string, id: string): boolean {
    return this.acked.get(this.isQueue ? 'everybody' : consumer)?.has(id) ?? false;
  }

  private delivered(session: Session, copy: Copy): void {
    const id = storedId(copy);
    const seen = of(this.seen, session, Set<string>);
    if (copy.id === null) {
      const consumer = this.isQueue || !isMember(session.clientid) ? clientConsumer(session.clientid) : '$share/g';
      this.checkAcked(consumer, id, session);
      this.checkTwice(consumer, id, session, copy);
      if (!this.isQueue && !isMember(session.clientid)) this.checkOrder(session, copy, seen);
      of(this.sent, consumer, Map<string, Sent>).set(id, {
        id,
        at: this.world.now,
        session,
        times: (this.sent.get(consumer)?.get(id)?.times ?? 0) + 1,
      });
    }
    seen.add(id);
  }

  /** Nothing that was acknowledged before the subscription, or before all lanes were empty. */
  private checkAcked(consumer: string, id: string, { clientid }: Session): void {
    const at = this.acked.get(this.isQueue ? 'everybody' : consumer)?.get(id);
    if (at !== undefined && at <= Math.max(this.settled, this.since(clientid)))
      this.failures.push(`${consumer} was sent ${short(id)}, which was acknowledged`);
  }

  /** When the request was accepted that this job begins to serve for the client. Another member's run has waited for its own request. */
  private since(clientid: string): number {
    if (this.job === null || !('mail' in this.job)) return 0;
    const requests = this.job.mail.flatMap((event) =>
      event.kind === 'deliver' && event.request.clientid === clientid ? [event.request] : [],
    );
    return requests.length === 0 ? 0 : Math.min(...requests.map((request) => this.subscriptions.get(keyOf(request)) ?? 0));
  }

  /**
   * Never what EMQX has for the client already, its own copy or ours (promise 19), nor what the client acknowledged a
   * moment ago. To a new session, which has nothing of the last one, everything again. A group: after a subscription,
   * or when it had it for long. Not counted: what EMQX dropped, and what a process did not note.
   */
  private checkTwice(consumer: string, id: string, session: Session, copy: Copy): void {
    const { world } = this;
    if (this.dropped.has(id) || world.steps.count > 0) return;
    const before = this.sent.get(consumer)?.get(id);
    if (consumer.startsWith('$share/')) {
      const again =
        before === undefined ||
        (this.subscribedAt.get(consumer) ?? []).some((at) => at > before.at) ||
        world.now >= before.at + GROUP_LOST_MS;
      if (!again) this.failures.push(`${consumer} was sent ${short(id)} twice`);
      return;
    }
    const isThere = world.broker.lists && session.unacknowledged.some((each) => each !== copy && storedId(each) === id);
    if (isThere) this.failures.push(`${consumer} was sent ${short(id)}, which EMQX had for it`);
    const ackedAt = session.ackedAt.get(id) ?? -Infinity;
    if (before?.session === session && world.now < ackedAt + ON_ITS_WAY_MS) this.failures.push(`${consumer} was sent ${short(id)} twice`);
  }

  /** Promise 6: what a connection gets from us comes in the order of its publisher. */
  private checkOrder(session: Session, copy: Copy, seen: Set<string>): void {
    const id = storedId(copy);
    if (seen.has(id) || this.late.has(id) || this.dropped.has(id)) return;
    const { topic } = copy.delivery;
    const overtaken = session.delivered.find(
      (each) =>
        each !== copy &&
        each.id === null &&
        each.delivery.topic === topic &&
        this.publishers.get(storedId(each)) === this.publishers.get(id) &&
        storedId(each) > id,
    );
    if (overtaken !== undefined) this.failures.push(`${session.clientid} was sent ${short(id)} after ${short(storedId(overtaken))}`);
  }

  /** Promise 10. */
  async checkWindows(consumers: readonly string[]): Promise<void> {
    const most = this.world.policies[0]?.window ?? 0;
    for (const consumer of consumers) {
      const count = (await loadMailbox(this.world.state, mailboxKey(consumer)))?.out.size ?? 0;
      if (count > most) this.failures.push(`${consumer} has ${count} in flight`);
      // What a group has for long is taken for lost, while EMQX may have it still.
      const isLong = consumer === '$share/g' && this.world.now >= Math.min(...(this.subscribedAt.get(consumer) ?? [])) + GROUP_LOST_MS;
      if (!isLong && this.sinceLast(consumer).size > most && this.world.steps.count === 0)
        this.failures.push(`EMQX has more than ${most} for ${consumer}`);
    }
  }

  /**
   * What EMQX has for the client of those that it was sent since it subscribed last; what it was sent before may have
   * been taken for lost.
   */
  private sinceLast(consumer: string): Set<string> {
    const last = Math.max(...(this.subscribedAt.get(consumer) ?? []));
    const isGroup = consumer === '$share/g';
    const sessions = [...this.world.broker.sessions.values()].filter(({ clientid }) =>
      isGroup ? isMember(clientid) : clientid === consumer,
    );
    const ids = sessions.flatMap(({ unacknowledged }) => unacknowledged.filter(({ id }) => id === null).map(storedId));
    const isCounted = (id: string) => {
      const { at = -Infinity, times = 0 } = this.sent.get(consumer)?.get(id) ?? {};
      // An acknowledgement does not say of which copy it is: the first one's frees the place of the second.
      return at >= Math.max(last, 0) && !(times > 1 && this.isAcked(consumer, id));
    };
    return new Set(ids.filter(isCounted));
  }
}

const isMember = (clientid: string): boolean => clientid.startsWith('m');
const short = (id: string): string => id.slice(0, 16) + id.slice(-4);
const keyOf = ({ clientid, filter, at }: { clientid: string; filter: string; at: number }): string =>
  JSON.stringify([clientid, filter, at]);

function of<K, V>(map: Map<K, V>, key: K, create: new () => V): V {
  const value = map.get(key) ?? new create();
  map.set(key, value);
  return value;
}
