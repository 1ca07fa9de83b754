import { waitFor } from '../support/wait';
import type { World } from './world';

interface Retained {
  readonly id: string;
  readonly topic: string;
  readonly text: string;
  readonly retain: boolean;
}

/** Gives tests the retained messages of the server, those of EMQX, and those that the server restored. */
export class RetainedView {
  constructor(private readonly world: () => World) {}

  readonly list = async (filter: string): Promise<Retained[]> => {
    const answer = await this.world().request('GET', `/v1/retained?limit=1000&filter=${encodeURIComponent(filter)}`);
    return ((await answer.json()) as { messages: Retained[] }).messages;
  };

  /** Waits for exactly these, by topic. */
  readonly texts = (filter: string, expected: string[]): Promise<boolean> =>
    waitFor(`retained ${expected.join()}`, async () => {
      const found = (await this.list(filter)).map(({ text }) => text);
      return JSON.stringify(found) === JSON.stringify(expected);
    });

  readonly restore = async (filter: string): Promise<void> => {
    expect((await this.world().request('POST', '/v1/retained/restore', { filter })).status).toBe(202);
  };

  readonly atEmqx = (topic: string): string | undefined => this.world().emqx.broker.retained.get(topic)?.payload.toString();

  /** The messages that the server published by REST with the retain flag. */
  readonly published = (): string[] =>
    this.world()
      .emqx.rest.publishes.filter((entry) => entry['retain'] === true)
      .map((entry) => `${String(entry['topic'])} ${Buffer.from(String(entry['payload']), 'base64').toString()}`);

  /** Waits until nothing is being restored, nor to be; twice in a row, as a job may just be changing its state. */
  readonly done = async (): Promise<void> => {
    let idle = 0;
    await waitFor('the restore to end', async () => {
      await this.world().nothingWaits();
      idle = (await this.world().isRestoring()) ? 0 : idle + 1;
      return idle >= 2;
    });
  };
}
