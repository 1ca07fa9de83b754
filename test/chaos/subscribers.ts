import { connect, type MqttClient } from 'mqtt';
import { setTimeout as sleep } from 'node:timers/promises';
import { MSGID_PROPERTY } from '../../src/mailbox/signature';
import type { Checker } from './checker';
import type { Random } from './random';

export interface SubscriberOptions {
  readonly url: string;
  readonly name: string;
  readonly filters: readonly string[];
  /** Its session outlives its connections. */
  readonly isPersistent: boolean;
  /** It takes so long for a message. ms. */
  readonly slownessMs: number;
  readonly random: Random;
  readonly checker: Checker;
}

/** Comes and goes as it likes, in order or not, and acknowledges what it receives. */
export class Subscriber {
  /** Once at least. */
  hasCome = false;
  private client: MqttClient | null = null;
  private connections = 0;
  private staying = false;

  constructor(private readonly options: SubscriberOptions) {}

  /** Until `stay` is called. */
  async run(): Promise<void> {
    const { random } = this.options;
    while (!this.staying) {
      await this.come();
      await this.wait(random.between(50, 4_000));
      if (!this.staying) await this.go(random.chance(0.5));
      // Now and then long enough for more than a window to pile up.
      if (!this.staying) await this.wait(random.chance(0.1) ? random.between(5_000, 20_000) : random.between(10, 3_000));
    }
    if (this.client === null) await this.come();
  }

  /** Comes, and does not go any more. */
  stay(): void {
    this.staying = true;
  }

  private async wait(ms: number): Promise<void> {
    for (const end = performance.now() + ms; performance.now() < end && !this.staying; ) await sleep(20);
  }

  async subscribe(): Promise<void> {
    await this.client?.subscribeAsync([...this.options.filters], { qos: 1 });
  }

  private async come(): Promise<void> {
    const { url, name, isPersistent, slownessMs, checker } = this.options;
    const connection = ++this.connections;
    const session = isPersistent ? { clean: false, properties: { sessionExpiryInterval: 3_600 } } : { clean: true };
    const client = connect(url, { clientId: name, protocolVersion: 5, reconnectPeriod: 0, ...session });
    client.handleMessage = (packet, done) => {
      const properties = packet.properties?.userProperties as Record<string, string> | undefined;
      checker.received({ subscriber: name, connection, topic: packet.topic, payload: packet.payload as Buffer, ours: properties?.[MSGID_PROPERTY] !== undefined });
      if (slownessMs === 0) done();
      else setTimeout(done, slownessMs);
    };
    this.client = client;
    await new Promise<void>((resolve, reject) => client.once('connect', () => resolve()).once('error', reject));
    client.on('error', () => undefined);
    // Before: the first messages may be there before the answer is.
    checker.order.subscribes(name);
    await this.subscribe();
    this.hasCome = true;
  }

  private async go(inOrder: boolean): Promise<void> {
    const { client } = this;
    this.client = null;
    if (client === null) return;
    if (inOrder) await client.endAsync();
    else client.stream.destroy();
    client.end(true);
  }

  async stop(): Promise<void> {
    await this.go(false);
  }
}
