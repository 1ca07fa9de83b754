/**
 * Measures what a stored backlog (BENCH_MANY, a million messages by default, of 1,000 topics) changes: the time from the start
 * of the process until it is ready, and from a SUBSCRIBE to the first message that is delivered for it. Beside the same
 * with 1,000 messages, in one run, on PostgreSQL and Redis that run; EMQX is the stand-in of the tests.
 */
import { connectAsync } from 'mqtt';
import { parseServiceUrl } from '../src/config/url';
import { openStore } from '../src/stores';
import { Rule } from '../test/standin/rule';
import { EmqxStandIn } from '../test/standin';
import { backendUrl } from '../test/support/backends';
import { emptyDatabase } from '../test/support/database';
import { message } from '../test/support/messages';
import { ruleSql } from '../src/emqx/rule-sql';
import { Budget } from '../src/lanes/batcher';
import { Lanes } from '../src/lanes/lanes';
import { RedisQueue } from '../src/lanes/redis';
import { toWire } from '../src/mqtt/message';
import { BenchServer } from './server';

const PORT = 16_481;
const FEW = 1_000;
const MANY = Number(process.env['BENCH_MANY'] ?? 1_000_000);
const TOPICS = 1_000;
const BATCH = 256;
const ROUNDS = 9;
const WAITING = 100_000;
const PAYLOAD = Buffer.alloc(200, 'x');

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;

async function fill(url: string, from: number, to: number): Promise<void> {
  const store = await openStore(parseServiceUrl(url, ['postgres']), null);
  await store.migrate();
  for (let i = from; i < to; i += BATCH) {
    const own = Array.from({ length: Math.min(BATCH, to - i) }, (_, k) =>
      message({ topic: `t/${(i + k) % TOPICS}`, payload: PAYLOAD, expiresAt: Date.now() + 86_400_000 }),
    );
    await store.saveMessages(own);
  }
  await store.close();
}

/** The time from SUBSCRIBE to the first message (ms). No message is acknowledged, so that all stay stored. */
async function subscribeTime(emqx: EmqxStandIn, filter: string, round: number): Promise<number> {
  const client = await connectAsync(emqx.mqttUrl, { clientId: `backlog-${filter}-${round}-${Date.now()}`, reconnectPeriod: 0 });
  const start = performance.now();
  const first = new Promise<void>((resolve) => client.once('message', () => resolve()));
  client.handleMessage = () => undefined;
  await client.subscribeAsync(filter, { qos: 1 });
  await first;
  const time = performance.now() - start;
  await client.endAsync(true);
  return time;
}

async function measure(env: Record<string, string>, emqx: EmqxStandIn, topics: readonly string[]): Promise<{ start: number; one: number }> {
  const starts: number[] = [];
  for (let i = 0; i < 3; i++) {
    const begun = performance.now();
    const server = await BenchServer.start(PORT, env);
    starts.push(performance.now() - begun);
    await server.stop();
  }
  const server = await BenchServer.start(PORT, env);
  const action = emqx.addRule(new Rule(ruleSql('offline-messages', ['t/#'])), { url: `http://127.0.0.1:${PORT}`, poolType: 'hash' });
  const times: number[] = [];
  for (let i = 0; i < ROUNDS; i++) times.push(await subscribeTime(emqx, topics[i] as string, i));
  action.stop();
  await server.stop();
  return { start: median(starts), one: median(times) };
}

/** The time from the start of the process to ready (ms), while accepted events wait in the queue. */
async function startWithWaiting(env: Record<string, string>): Promise<number> {
  const queue = new RedisQueue({ url: parseServiceUrl(env['QUEUE_URL'] ?? '', ['redis']), onError: () => undefined });
  await queue.prepare();
  const lanes = new Lanes(queue, new Budget({ items: Infinity, bytes: Infinity }));
  await lanes.prepare();
  for (let i = 0; i < WAITING; i += BATCH) {
    const own = Array.from({ length: BATCH }, (_, k) => toWire(message({ topic: `t/${(i + k) % TOPICS}`, payload: PAYLOAD })));
    await lanes.put(own.map((each) => ({ write: { kind: 'publish', message: each } })));
  }
  await lanes.close();
  await queue.close();
  const begun = performance.now();
  const server = await BenchServer.start(PORT, env);
  const time = performance.now() - begun;
  await server.drained();
  await server.stop();
  return time;
}

async function main(): Promise<void> {
  const [postgres, redis] = [backendUrl('postgres'), backendUrl('redis')];
  if (postgres === null || redis === null) throw new Error('npm run services -- postgres redis');
  const url = await emptyDatabase(postgres, 'offline_backlog');
  const emqx = await EmqxStandIn.start();
  const env = {
    STORE_URL: url,
    QUEUE_URL: `${redis}/14`,
    EMQX_URL: emqx.apiUrl,
    EMQX_API_KEY: emqx.apiKey,
    EMQX_API_SECRET: emqx.apiSecret,
  };
  const topics = (offset: number): string[] => Array.from({ length: ROUNDS }, (_, i) => `t/${offset + i}`);
  await fill(url, 0, FEW);
  const few = await measure(env, emqx, topics(0));
  await fill(url, FEW, MANY);
  const many = await measure(env, emqx, topics(500));
  const waiting = await startWithWaiting(env);
  console.log(`| | ${FEW} messages stored | ${MANY} | ratio |\n| --- | --- | --- | --- |`);
  for (const [name, key] of [
    ['process start to ready', 'start'],
    ['SUBSCRIBE to the first message', 'one'],
  ] as const) {
    console.log(`| ${name} | ${few[key].toFixed(0)} ms | ${many[key].toFixed(0)} ms | ${(many[key] / few[key]).toFixed(2)} |`);
  }
  console.log(
    `| process start to ready, ${WAITING} events waiting in the queue | - | ${waiting.toFixed(0)} ms | ${(waiting / few.start).toFixed(2)} |`,
  );
  await emqx.stop();
}

void main();
