import { setTimeout as sleep } from 'node:timers/promises';
import type { EmqxStandIn } from '../standin';
import { JOIN, joinerName } from './busy';
import type { Cast, Part } from './cast';
import type { Checker } from './checker';
import type { TrafficGroup } from './faults';
import { publish } from './publishers';
import type { Random } from './random';
import { Subscriber } from './subscribers';
import type { Waits } from './waits';

export interface TrafficOptions {
  readonly messages: number;
  readonly perSecond: number;
  readonly publishers: number;
  /** How many groups of each kind. */
  readonly groups: number;
}

export interface TrafficDeps {
  readonly emqx: EmqxStandIn;
  readonly checker: Checker;
  readonly cast: Cast;
  readonly waits: Waits;
  readonly random: Random;
  readonly note: (group: TrafficGroup, kind: string) => void;
}

/** Publishers and subscribers. */
export class Traffic {
  private readonly subscribers: Subscriber[] = [];
  private readonly running: Promise<void>[] = [];
  private isOver = false;
  private isHurried = false;

  constructor(
    private readonly deps: TrafficDeps,
    private readonly options: TrafficOptions,
  ) {
    for (const part of deps.cast.parts) for (const clientid of part.members) this.add(part, clientid);
  }

  private add(part: Part, clientid: string): void {
    const { emqx, random, ...rest } = this.deps;
    const subscriber = new Subscriber({ ...rest, url: emqx.mqttUrl, clientid, part, random: random.fork() });
    const running = subscriber.run();
    // A failure is thrown by allStay; until then nobody waits for them.
    running.catch(() => undefined);
    this.subscribers.push(subscriber);
    this.running.push(running);
  }

  /** Everybody has subscribed once. */
  async allCame(): Promise<void> {
    while (!this.subscribers.every(({ hasCome }) => hasCome)) await sleep(20);
  }

  /** Resolves when EMQX has all messages. Each topic has two publishers, if there are two. */
  async publishAll(isFull: () => boolean): Promise<void> {
    const { messages, perSecond, random, emqx, checker } = { ...this.options, ...this.deps };
    const topics = this.deps.cast.parts.flatMap((part) => part.topics.map((topic) => ({ topic, weight: part.weight })));
    const publishers = Math.min(this.options.publishers, topics.length);
    const joining = this.join();
    await Promise.all(
      Array.from({ length: publishers }, (_, i) => {
        const own = topics.filter((_topic, n) => n % publishers === i || (n + 1) % publishers === i);
        const share = Math.floor(messages / publishers) + (i < messages % publishers ? 1 : 0);
        const name = `p${i}`;
        return publish({
          url: emqx.mqttUrl,
          name,
          topics: own,
          messages: share,
          perSecond: perSecond / publishers,
          random: random.fork(),
          checker,
          isFull,
        });
      }),
    );
    this.isOver = true;
    await joining;
  }

  /** Something is being removed: this is the moment for a new reader. */
  hurry(): void {
    this.isHurried = true;
  }

  /** New readers come to the busy topic, and stay. */
  private async join(): Promise<void> {
    const busy = this.deps.cast.parts.find(({ kind }) => kind === 'busy');
    if (busy === undefined) return;
    for (let i = 0; i < JOIN.most; i++) {
      for (const end = performance.now() + JOIN.everyMs; performance.now() < end && !this.isOver && !this.isHurried;) await sleep(10);
      this.isHurried = false;
      if (this.isOver) return;
      this.add(busy, joinerName(i));
    }
  }

  /** Everybody comes and stays. */
  async allStay(): Promise<void> {
    for (const subscriber of this.subscribers) subscriber.stay();
    await Promise.all(this.running);
  }

  async subscribeAgain(): Promise<void> {
    await Promise.all(this.subscribers.map((subscriber) => subscriber.subscribe()));
  }

  async stop(): Promise<void> {
    this.isOver = true;
    for (const subscriber of this.subscribers) subscriber.stay();
    await Promise.allSettled(this.running);
    await Promise.all(this.subscribers.map((subscriber) => subscriber.stop()));
  }
}
