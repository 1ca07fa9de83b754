import type { Delivery } from '../../src/emqx/api';
import { EmqxV5, type EmqxV5Options } from '../../src/emqx/v5';

export const API_KEY = 'the-key';
export const API_SECRET = 'the-secret-nobody-may-see';

export interface TestClient {
  readonly emqx: EmqxV5;
  /** The pauses it asked for; none was made. */
  readonly pauses: number[];
}

export function clientOf(url: string, options: Partial<EmqxV5Options> = {}): TestClient {
  const pauses: number[] = [];
  const sleep = (ms: number): Promise<void> => {
    pauses.push(ms);
    return Promise.resolve();
  };
  const backoff = { sleep, random: () => 1, ...options.backoff };
  return { emqx: new EmqxV5({ url, apiKey: API_KEY, apiSecret: API_SECRET, ...options, backoff }), pauses };
}

export function delivery(topic: string, over: Partial<Delivery> = {}): Delivery {
  return { topic, qos: 1, retain: false, payload: Buffer.from(topic), properties: { userProperties: { 'offline-msgid': topic } }, ...over };
}
