import type { EmqxStandIn } from '../standin';
import type { Checker } from './checker';
import { publish } from './publishers';
import type { Random } from './random';
import { Subscriber } from './subscribers';

/** What a group of subscribers does with its topics. */
interface Group {
  readonly filtersOf: (group: string) => readonly string[];
  readonly members: number;
  readonly isPersistent?: boolean;
  readonly slownessMs?: number;
}

const GROUPS: readonly Group[] = [
  { filtersOf: (group) => [`t/${group}/a`, `t/${group}/b`], members: 1 },
  { filtersOf: (group) => [`t/${group}/#`], members: 1 },
  { filtersOf: (group) => [`t/${group}/+`], members: 1, slownessMs: 5 },
  { filtersOf: (group) => [`t/${group}/#`], members: 1, isPersistent: true },
  // Two that both want the topic: the first acknowledgement decides.
  { filtersOf: (group) => [`t/${group}/a`, `t/${group}/b`], members: 2 },
  { filtersOf: (group) => [`$share/${group}/t/${group}/#`], members: 2 },
];
const LEVELS = ['a', 'b'];

export interface TrafficOptions {
  readonly messages: number;
  readonly perSecond: number;
  readonly publishers: number;
  /** How many groups of each kind. */
  readonly groups: number;
  readonly random: Random;
}

const names = ({ groups }: Pick<TrafficOptions, 'groups'>): { name: string; group: Group }[] =>
  GROUPS.flatMap((group, kind) => Array.from({ length: groups }, (_, i) => ({ name: `g${kind}-${i}`, group })));

/** Whether one client alone subscribes to the topic. */
export function isAlone(topic: string): boolean {
  const kind = Number(/^t\/g(\d+)-/.exec(topic)?.[1]);
  return GROUPS[kind]?.members === 1;
}

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
      Array.from({ length: members }, (_, i) => new Subscriber({ url: emqx.mqttUrl, name: `${name}-${i}`, filters: filtersOf(name), isPersistent, slownessMs, random: random.fork(), checker })),
    );
    this.running = this.subscribers.map((subscriber) => subscriber.run());
    // A failure is thrown by allStay; until then nobody waits for them.
    for (const each of this.running) each.catch(() => undefined);
  }

  /** Resolves when EMQX has all messages. Each topic has two publishers. */
  async publishAll(isFull: () => boolean): Promise<void> {
    const { messages, perSecond, publishers, random } = this.options;
    const topics = names(this.options).flatMap(({ name }) => LEVELS.map((level) => `t/${name}/${level}`));
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
