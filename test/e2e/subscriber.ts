import type { IPublishPacket, MqttClient } from 'mqtt';
import { waitFor } from '../support/wait';

/** An MQTT client, with a list of what it received. */
export class Subscriber {
  constructor(
    readonly client: MqttClient,
    readonly received: IPublishPacket[],
  ) {}

  async subscribe(filter: string, qos: 0 | 1 | 2 = 1): Promise<void> {
    await this.client.subscribeAsync(filter, { qos });
  }

  get texts(): string[] {
    return this.received.map(({ payload }) => payload.toString());
  }

  async receives(count: number): Promise<string[]> {
    await waitFor(`${count} messages (there are ${this.received.length})`, () => this.received.length >= count);
    return this.texts;
  }

  /** Takes messages and acknowledges none, until it is told to. @returns what tells it. */
  holdAcks(): () => void {
    let open = (): void => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    this.client.handleMessage = (_packet, done) => void gate.then(() => done());
    return () => open();
  }

  disconnect(): Promise<void> {
    return this.client.endAsync();
  }
}
