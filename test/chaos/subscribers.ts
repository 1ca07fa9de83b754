import { connect, type MqttClient } from 'mqtt';
import { setImmediate as immediate, setTimeout as sleep } from 'node:timers/promises';
import { MSGID_PROPERTY } from '../../src/mailbox/signature';
import type { Part } from './cast';
import type { Checker } from './checker';
import type { TrafficGroup } from './faults';
import type { Random } from './random';
import type { Waits } from './waits';

export interface SubscriberOptions {
  readonly url: string;
  readonly clientid: string;
  readonly part: Part;
  readonly random: Random;
  readonly checker: Checker;
  readonly waits: Waits;
  /** One of the traffic's scenes has come about. */
  readonly note: (group: TrafficGroup, kind: string) => void;
}

/** More than a window (100) waits; EMQX holds more than a few. */
const BACKLOG = 100;
const HELD = 5;
const USUAL_STAY_MS = [50, 4_000] as const;

/** Comes and goes as it likes, in order or not, and acknowledges what it receives. */
export class Subscriber {
  /** Once at least. */
  hasCome = false;
  private client: MqttClient | null = null;
  private connections = 0;
  private staying = false;
  private goneSince = 0;

  constructor(private readonly options: SubscriberOptions) {}

  /** Until `stay` is called. */
  async run(): Promise<void> {
    const { random, part } = this.options;
    while (!this.staying) {
      await this.come();
      await this.wait(this.isBackForGood ? Infinity : random.between(...(part.manner.staysMs ?? USUAL_STAY_MS)));
      if (!this.staying) await this.go(random.chance(0.5));
      // Now and then long enough for more than a window to pile up.
      if (!this.staying) await this.wait(random.chance(0.1) ? random.between(5_000, 20_000) : random.between(10, 3_000));
      for (const { awayUntil = 0 } = part.manner; !this.staying && this.waiting < awayUntil;) await sleep(50);
    }
    if (this.client === null) await this.come();
  }

  /** Comes, and does not go any more. */
  stay(): void {
    this.staying = true;
  }

  private async wait(ms: number): Promise<void> {
    for (const end = performance.now() + ms; performance.now() < end && !this.staying;) await sleep(20);
  }

  private get isBackForGood(): boolean {
    const { stays = false, awayUntil } = this.options.part.manner;
    return stays && (awayUntil === undefined || this.connections > 1);
  }

  private get waiting(): number {
    const { part, checker } = this.options;
    return part.topics.reduce((sum, topic) => sum + checker.openIn(topic).size, 0);
  }

  async subscribe(): Promise<void> {
    await this.client?.subscribeAsync([...this.options.part.filters], { qos: 1 });
  }

  private async come(): Promise<void> {
    const { url, clientid, part, checker, waits } = this.options;
    const { isPersistent = false, slownessMs = 0, burstMs } = part.manner;
    const connection = ++this.connections;
    const session = isPersistent ? { clean: false, properties: { sessionExpiryInterval: 3_600 } } : { clean: true };
    const client = connect(url, { clientId: clientid, protocolVersion: 5, reconnectPeriod: 0, ...session });
    client.handleMessage = (packet, done) => {
      const properties = packet.properties?.userProperties as Record<string, string> | undefined;
      const ours = properties?.[MSGID_PROPERTY] !== undefined;
      checker.received({ subscriber: clientid, connection, topic: packet.topic, payload: packet.payload as Buffer, ours });
      if (ours) waits.ends(clientid, performance.now());
      if (slownessMs === 0) done();
      else setTimeout(done, slownessMs);
    };
    this.client = client;
    this.noteScene();
    await new Promise<void>((resolve, reject) => client.once('connect', () => resolve()).once('error', reject));
    client.on('error', () => undefined);
    // Before: the first messages may be there before the answer is.
    checker.order.subscribes(clientid);
    // Of a persistent session EMQX delivers what it holds; of several clients any may get it.
    if (!isPersistent && part.members.length === 1)
      waits.subscribes(
        clientid,
        part.topics.flatMap((topic) => [...checker.openIn(topic)]),
        this.goneSince,
        performance.now(),
      );
    const subscribed = this.subscribe();
    // SUBSCRIBE leaves in this turn; what EMQX delivers meanwhile is acknowledged later.
    await immediate();
    if (burstMs !== undefined) void this.acknowledgeInBursts(client, burstMs);
    await subscribed;
    this.hasCome = true;
  }

  private noteScene(): void {
    const { part, note } = this.options;
    if (part.kind === 'hostile') note('hostile', `${part.name} comes`);
    if (part.manner.awayUntil !== undefined && this.waiting > BACKLOG) note('backlog', `more than a window waits: ${part.kind}`);
    if (part.manner.isPersistent && this.connections > 1 && this.waiting > HELD)
      note('resume', 'EMQX holds messages of a session that subscribes');
  }

  /** Everything that the client writes waits in its socket meanwhile. */
  private async acknowledgeInBursts(client: MqttClient, pauseMs: readonly [number, number]): Promise<void> {
    while (this.client === client) {
      client.stream.cork();
      await sleep(this.options.random.between(...pauseMs));
      client.stream.uncork();
      await sleep(1);
    }
  }

  private async go(inOrder: boolean): Promise<void> {
    const { client } = this;
    this.client = null;
    if (client === null) return;
    this.options.waits.ends(this.options.clientid, performance.now());
    if (inOrder) await client.endAsync();
    else client.stream.destroy();
    client.end(true);
    // EMQX may hear of it a little later.
    this.goneSince = performance.now() + 100;
  }

  async stop(): Promise<void> {
    await this.go(false);
  }
}
