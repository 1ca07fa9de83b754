import { setTimeout as sleep } from 'node:timers/promises';
import type { EmqxStandIn } from '../standin';
import type { Checker } from './checker';
import { groupName, GROUPS, memberName, topicsOf, type Group } from './groups';
import { publish } from './publishers';
import type { Random } from './random';
import { Subscriber } from './subscribers';

export interface TrafficOptions {
  readonly messages: number;
  readonly perSecond: number;
  readonly publishers: number;
  /** How many groups of each kind. */
  readonly groups: number;
  readonly random: Random;
}

const names = ({ groups }: Pick<TrafficOptions, 'groups'>): { name: string; group: Group }[] =>
  GROUPS.flatMap((group, kind) => Array.from({ length: groups }, (_, i) => ({ name: groupName(kind, i), group })));

/** Publishers and subscribers. */
export class Traffic {
  private readonly subscribers: Subscriber[];
  private readonly running: Promise<void>[];

  constructor(
    private readonly emqx: EmqxStandIn,
    private readonly checker: Checker,
    private readonly options: TrafficOptions,
  ) {
    const { random } = options;
    this.subscribers = names(options).flatMap(({ name, group: { filtersOf, members, isPersistent = false, slownessMs = 0 } }) =>
      Array.from({ length: members }, (_, i) => new Subscriber({ url: emqx.mqttUrl, name: memberName(name, i), filters: filtersOf(name), isPersistent, slownessMs, random: random.fork(), checker })),
    );
    this.running = this.subscribers.map((subscriber) => subscriber.run());
    // A failure is thrown by allStay; until then nobody waits for them.
    for (const each of this.running) each.catch(() => undefined);
  }

  /** Everybody has subscribed once. */
  async allCame(): Promise<void> {
    while (!this.subscribers.every(({ hasCome }) => hasCome)) await sleep(20);
  }

  /** Resolves when EMQX has all messages. Each topic has two publishers. */
  async publishAll(isFull: () => boolean): Promise<void> {
    const { messages, perSecond, publishers, random } = this.options;
    const topics = names(this.options).flatMap(({ name }) => topicsOf(name));
    await Promise.all(
      Array.from({ length: publishers }, (_, i) => {
        const own = topics.filter((_topic, n) => n % publishers === i || (n + 1) % publishers === i);
        const share = Math.floor(messages / publishers) + (i < messages % publishers ? 1 : 0);
        const name = `p${i}`;
        return publish({ url: this.emqx.mqttUrl, name, topics: own, messages: share, perSecond: perSecond / publishers, random: random.fork(), checker: this.checker, isFull });
      }),
    );
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
    for (const subscriber of this.subscribers) subscriber.stay();
    await Promise.allSettled(this.running);
    await Promise.all(this.subscribers.map((subscriber) => subscriber.stop()));
  }
}
