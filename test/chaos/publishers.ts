import { connectAsync, type MqttClient } from 'mqtt';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Checker } from './checker';
import { payloadOf } from './message';
import type { Random } from './random';

export interface PublisherOptions {
  readonly url: string;
  readonly name: string;
  readonly topics: readonly { readonly topic: string; readonly weight: number }[];
  readonly messages: number;
  readonly perSecond: number;
  readonly random: Random;
  readonly checker: Checker;
  /** EMQX's buffer is long enough: wait. */
  readonly isFull: () => boolean;
}

const TICK_MS = 50;
/** Longer than any fault: the server has stopped for good. */
const STUCK_MS = 120_000;

/** Publishes at QoS 1 over one connection that is never broken: what it publishes EMQX has, once. */
export async function publish({ url, name, topics, messages, perSecond, random, checker, isFull }: PublisherOptions): Promise<void> {
  const client = await connectAsync(url, { clientId: name, protocolVersion: 5, reconnectPeriod: 0 });
  const sequences = new Map(topics.map(({ topic }) => [topic, 0]));
  // A topic of more weight is picked more often.
  const picks = topics.flatMap(({ topic, weight }) => Array.from({ length: weight }, () => topic));
  try {
    for (let count = 0; count < messages;) {
      const wanted = ((perSecond * TICK_MS) / 1000) * random.between(0, 2);
      // Slow publishers have less than one a tick.
      const burst = Math.min(messages - count, Math.floor(wanted) + (random.chance(wanted % 1) ? 1 : 0));
      await Promise.all(Array.from({ length: burst }, () => publishNext(client, name, random.pick(picks), sequences, checker)));
      count += burst;
      await sleep(TICK_MS);
      await untilNot(isFull);
    }
  } finally {
    await client.endAsync(true);
  }
}

async function untilNot(isFull: () => boolean): Promise<void> {
  for (const from = performance.now(); isFull(); await sleep(TICK_MS)) {
    if (performance.now() - from > STUCK_MS) throw new Error(`the server has taken too little for ${STUCK_MS / 1_000} s`);
  }
}

async function publishNext(
  client: MqttClient,
  publisher: string,
  topic: string,
  sequences: Map<string, number>,
  checker: Checker,
): Promise<void> {
  const sequence = sequences.get(topic) ?? 0;
  sequences.set(topic, sequence + 1);
  const identity = { publisher, topic, sequence };
  checker.willPublish(identity);
  await client.publishAsync(topic, payloadOf(identity), { qos: 1 });
}
