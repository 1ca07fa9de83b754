import { RetryableError } from '../../src/base/errors';
import { Clients } from '../../src/mailbox/clients/clients';
import type { QoS } from '../../src/mqtt/message';
import { Subscriptions } from '../../src/mailbox/clients/subscriptions';
import type { ClientChange } from '../../src/lanes/jobs';
import type { ClientState, Subscription } from '../../src/stores/store';

/**
 * One client with its broker, and our side with maps for the store and the shared state. One clock, a millisecond for each thing that happens.
 * What the broker does becomes events, which `work` takes from the queue when the test says so.
 */
export class Simulation {
  time = 1_000_000;
  connectedAt: number | null = null;
  readonly broker = new Map<string, QoS>();
  readonly rows = new Map<string, QoS>();
  state: ClientState | null = null;
  queue: ClientChange[] = [];
  readonly refused: string[] = [];
  /** Every REST call as `+t/1` and `-t/1`. */
  readonly calls: string[] = [];
  /** Called before and after the effect of each REST call, with what the client does meanwhile; an error is one of ours. */
  meanwhile: (moment: 'before' | 'after') => void = () => undefined;
  private readonly memory = new Map<string, string>();
  readonly clients: Clients;

  constructor() {
    const store = {
      putSubscriptions: async (all: readonly Subscription[]) => all.forEach(({ topic, qos }) => this.rows.set(topic, qos)),
      deleteSubscriptions: async (all: readonly { topic: string }[]) => all.forEach(({ topic }) => this.rows.delete(topic)),
      listSubscriptions: async () => [...this.rows].map(([topic, qos]) => ({ clientid: 'c', topic, qos })),
      getClientState: async () => this.state,
      // Stores differ in what they do with two states of one time: this one keeps the first.
      saveClientStates: async ([state]: readonly ClientState[]) => void ((this.state?.at ?? 0) < state!.at && (this.state = state!)),
    };
    const now = () => this.time;
    const subscriptions = new Subscriptions({
      ...{ store, now, setAside: async ({ topic }) => void this.refused.push(topic) },
      emqx: {
        subscribeAll: (_, all) => this.rest(() => this.subscribeAll(all)),
        unsubscribeAll: (_, all) => this.rest(() => this.unsubscribeAll(all)),
      },
      state: {
        getAll: async (keys) => new Map(keys.flatMap((key) => (this.memory.has(key) ? [[key, this.memory.get(key) as string]] : []))),
        setAll: async (entries) => entries.forEach(({ key, value }) => this.memory.set(key, value)),
      },
    });
    this.clients = new Clients({ store, subscriptions, now });
  }

  connect(): void {
    this.disconnect();
    this.connectedAt = ++this.time;
    this.broker.clear();
    this.queue.push({ kind: 'connected', clientid: 'c', node: 'n1', at: this.time });
  }

  disconnect(): void {
    if (this.connectedAt !== null)
      this.queue.push({ kind: 'disconnected', clientid: 'c', node: 'n1', connectedAt: this.connectedAt, at: ++this.time });
    this.connectedAt = null;
  }

  subscribe(filter: string, qos: QoS): void {
    if (this.connectedAt === null) return;
    this.broker.set(filter, qos);
    this.queue.push({ kind: 'subscribed', clientid: 'c', filter, qos, at: ++this.time });
  }

  /** EMQX fires no event for what was not subscribed. */
  unsubscribe(filter: string): void {
    if (this.connectedAt === null || !this.broker.delete(filter)) return;
    this.queue.push({ kind: 'unsubscribed', clientid: 'c', filter, at: ++this.time });
  }

  /** A job with the first events; one that fails for a transient reason is tried again, as the workers do. */
  async work(count = this.queue.length): Promise<void> {
    const job = this.queue.splice(0, count);
    if (job.length > 0) await this.run(job);
  }

  async run(job: readonly ClientChange[]): Promise<void> {
    for (;;) {
      try {
        const [failure] = (await this.clients.apply(job)).values();
        if (failure === undefined) return;
        throw failure;
      } catch (error) {
        if (!(error instanceof RetryableError)) throw error;
      }
    }
  }

  /** Until nothing is left to do. */
  async settle(): Promise<void> {
    for (let round = 0; this.queue.length > 0; round++) {
      if (round > 20) throw new Error(`it never ends: ${this.calls.join(' ')}`);
      await this.work();
    }
  }

  private async rest<T>(effect: () => T): Promise<T> {
    this.meanwhile('before');
    const result = effect();
    this.meanwhile('after');
    return result;
  }

  private subscribeAll(all: readonly { topic: string; qos: QoS }[]) {
    for (const { topic, qos } of all) {
      this.calls.push(`+${topic}`);
      if (topic !== 'refused') this.subscribe(topic, qos);
    }
    const refused = all.filter(({ topic }) => topic === 'refused').map((subscription) => ({ subscription, reason: 'never' }));
    return { connected: this.connectedAt !== null, refused };
  }

  private unsubscribeAll(all: readonly string[]) {
    for (const topic of all) {
      this.calls.push(`-${topic}`);
      this.unsubscribe(topic);
    }
    return this.connectedAt === null ? ('not-connected' as const) : ('unsubscribed' as const);
  }
}
