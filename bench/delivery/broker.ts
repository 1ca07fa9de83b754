import { Action } from './action';
import { acked, connected, published, subscribed } from './events';
import { RestDouble, type Entry } from './rest';

export interface Subscriber {
  readonly clientid: string;
  readonly topic: string;
}

/** What the clients got since `begin` or `subscribe`. */
export interface Outcome {
  /** Different messages, by their stored ids. */
  readonly messages: number;
  readonly copies: number;
  /** Of the messages: those that `live` had acknowledged before. */
  readonly forgotten: number;
  /** From the beginning until the last acknowledgement was answered. */
  readonly seconds: number;
  /** ms from its SUBSCRIBE to its first message, of each client that got one. */
  readonly first: readonly number[];
}

export interface Live extends Subscriber {
  readonly publisher: string;
  /** Messages per second. */
  readonly rate: number;
  readonly seconds: number;
}

const TICK_MS = 5;
const POLL_MS = 5;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A broker with clients that acknowledge each copy at once. Its events go to one server at a time. */
export class BrokerDouble {
  private readonly rest = new RestDouble((clientid, entry, id) => this.deliver(clientid, entry, id));
  private action: Action | null = null;
  private begun = 0;
  private copies = 0;
  private acknowledged = 0;
  private last = 0;
  private readonly seen = new Set<string>();
  private readonly lived = new Set<string>();
  private readonly subscribedAt = new Map<string, number>();
  private readonly first = new Map<string, number>();

  /** @returns the port of the REST API. */
  listen(): Promise<number> {
    return this.rest.listen();
  }

  /** Events go to this port from now on; null: nowhere. All clients are gone. */
  async aim(port: number | null): Promise<void> {
    this.action?.close();
    this.rest.forget();
    this.lived.clear();
    this.action = port === null ? null : await Action.open(port);
    this.begin();
  }

  /** Counts from here. */
  begin(): void {
    [this.begun, this.copies, this.acknowledged, this.last] = [performance.now(), 0, 0, performance.now()];
    this.seen.clear();
    this.subscribedAt.clear();
    this.first.clear();
  }

  /** All at once: each connects with a clean session and subscribes. Counts from here. @returns when all events were answered. */
  async subscribe(subscribers: readonly Subscriber[]): Promise<void> {
    this.begin();
    await Promise.all(
      subscribers.flatMap(({ clientid, topic }) => {
        this.rest.connect(clientid);
        this.rest.subscribe(clientid, topic);
        const hello = this.send(connected(clientid));
        this.subscribedAt.set(clientid, performance.now());
        return [hello, this.send(subscribed(clientid, topic))];
      }),
    );
  }

  /** When so many different messages, and all copies, were acknowledged; or nothing came for `patienceMs`. */
  async outcome(messages: number, patienceMs: number): Promise<Outcome> {
    const isDone = () => this.seen.size >= messages && this.acknowledged >= this.copies;
    while (!isDone() && performance.now() - this.last < patienceMs) await sleep(POLL_MS);
    const forgotten = [...this.seen].filter((id) => this.lived.has(id)).length;
    const counts = { messages: this.seen.size, copies: this.copies, forgotten };
    return { ...counts, seconds: (this.last - this.begun) / 1_000, first: [...this.first.values()] };
  }

  /** EMQX delivers what is published to the client by itself: an event of the publish, and of its acknowledgement. @returns s until all were answered. */
  async live({ clientid, topic, publisher, rate, seconds }: Live): Promise<number> {
    const start = performance.now();
    const answered: Promise<void>[] = [];
    let sent = 0;
    let before: { id: string; at: number }[] = [];
    const acknowledge = () => {
      for (const { id, at } of before)
        answered.push(this.send(acked(clientid, { id, topic, userProperties: {}, publishReceivedAt: at, from: publisher })));
      before = [];
    };
    for (let now = 0; now < seconds * 1_000; now = performance.now() - start) {
      acknowledge();
      for (const due = Math.floor((now / 1_000) * rate); sent < due; sent++) {
        const { id, event } = published(publisher, topic);
        before.push({ id, at: Date.now() });
        this.lived.add(id);
        answered.push(this.send(event));
      }
      await sleep(TICK_MS);
    }
    acknowledge();
    await Promise.all(answered);
    return (performance.now() - start) / 1_000;
  }

  private deliver(clientid: string, { topic, properties }: Entry, id: string): void {
    const userProperties = properties?.user_properties ?? {};
    const now = performance.now();
    this.copies++;
    this.last = now;
    this.seen.add(userProperties['offline-msgid'] ?? id);
    if (!this.first.has(clientid)) this.first.set(clientid, now - (this.subscribedAt.get(clientid) ?? NaN));
    void this.send(acked(clientid, { id, topic, userProperties, publishReceivedAt: Date.now(), from: 'http_api' })).then(() => {
      this.acknowledged++;
      this.last = performance.now();
    });
  }

  private send(event: Parameters<Action['send']>[0]): Promise<void> {
    if (this.action === null) throw new Error('an event, and no server to take it');
    return this.action.send(event);
  }
}
