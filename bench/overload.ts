/**
 * Events at five times what the server can take, for two minutes (SECONDS): what becomes of memory, of the time to the
 * 202, of what is refused, and how long it takes to recover. `npm run bench:overload -- embedded` (the default) or
 * `servers` (PostgreSQL and Redis that run).
 */
import { Agent } from 'node:http';
import { backendUrl } from '../test/support/backends';
import { emptyDatabase } from '../test/support/database';
import { withRedis } from '../test/support/redis';
import { Pipeline } from './pipeline';
import { BenchServer, post, publishEvent } from './server';

const PORT = 16_480;
const TOPICS = 1_000;
const SECONDS = Number(process.env['SECONDS'] ?? 120);
const FACTOR = 5;
/** The connections of a cluster of four EMQX nodes with pool_size 8 and enable_pipelining 100. */
const CONNECTIONS = 4 * 8;
const PIPELINING = 100;
const CALIBRATION_MS = 10_000;
const TICK_MS = 10;

interface Tally {
  readonly statuses: Map<string, number>;
  /** The times to the answers 202 (ms). */
  readonly latencies: number[];
  /** The times of a new connection and its first answer from /healthz (ms), measured once a second. */
  readonly health: number[];
}

/**
 * Sends events as fast as 64 connections allow, and waits until all are stored.
 * @returns the stored events per second.
 */
async function capacity(server: BenchServer): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const start = performance.now();
  const connection = async () => {
    while (performance.now() - start < CALIBRATION_MS) await post(agent, PORT, publishEvent(TOPICS));
  };
  await Promise.all(Array.from({ length: 64 }, connection));
  await server.drained();
  agent.destroy();
  return (await server.stored()) / ((performance.now() - start) / 1_000);
}

/** Sends events at this rate, whatever the answers are, while the connections have room. */
async function offer(rate: number, seconds: number, tally: Tally): Promise<number> {
  const pipelines = await Promise.all(Array.from({ length: CONNECTIONS }, () => Pipeline.open(PORT)));
  const start = performance.now();
  let [sent, turn] = [0, 0];
  const one = async (pipeline: Pipeline) => {
    const begun = performance.now();
    const key = await pipeline.post('/v1/events/message.publish', publishEvent(TOPICS)).then(
      ({ status, retryAfter }) => {
        if (status === 202) tally.latencies.push(performance.now() - begun);
        return status === 202 || retryAfter !== undefined ? String(status) : `${status} without Retry-After`;
      },
      (error: NodeJS.ErrnoException) => error.code ?? error.message,
    );
    tally.statuses.set(key, (tally.statuses.get(key) ?? 0) + 1);
  };
  const next = (): Pipeline | undefined => {
    for (let i = 0; i < CONNECTIONS; i++) {
      const pipeline = pipelines[turn++ % CONNECTIONS];
      if (pipeline !== undefined && pipeline.underWay < PIPELINING) return pipeline;
    }
    return undefined;
  };
  for (let now = 0; now < seconds * 1_000; now = performance.now() - start) {
    const due = Math.floor((now / 1_000) * rate);
    for (let pipeline = next(); sent < due && pipeline !== undefined; pipeline = next(), sent++) void one(pipeline);
    if (sent < due) {
      tally.statuses.set('not sent, all connections full', (tally.statuses.get('not sent, all connections full') ?? 0) + due - sent);
      sent = due;
    }
    await new Promise((resolve) => setTimeout(resolve, TICK_MS));
  }
  while (pipelines.some(({ underWay }) => underWay > 0)) await new Promise((resolve) => setTimeout(resolve, TICK_MS));
  for (const pipeline of pipelines) pipeline.close();
  return sent;
}

/** Asks /healthz on a new connection, as a load balancer does. */
async function checkHealth(tally: Tally): Promise<void> {
  const begun = performance.now();
  const answer = await fetch(`http://127.0.0.1:${PORT}/healthz`, { headers: { connection: 'close' } });
  await answer.text();
  tally.health.push(performance.now() - begun);
}

const percentile = (sorted: readonly number[], share: number): string =>
  `${(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN).toFixed(0)} ms`;

async function settings(kind: string): Promise<Record<string, string>> {
  if (kind === 'embedded') return {};
  const [postgres, redis] = [backendUrl('postgres'), backendUrl('redis')];
  if (postgres === null || redis === null) throw new Error('npm run services -- postgres redis');
  const queue = `${redis}/15`;
  await withRedis(queue, (client) => client.flushdb());
  return { STORE_URL: await emptyDatabase(postgres, 'offline_overload'), QUEUE_URL: queue };
}

async function main(kind: string): Promise<void> {
  const server = await BenchServer.start(PORT, await settings(kind));
  const idle = server.anonymous;
  const rate = await capacity(server);
  const before = await server.stored();
  const tally: Tally = { statuses: new Map(), latencies: [], health: [] };
  const memory: number[] = [];
  let backlog = 0;
  const sampling = setInterval(() => {
    memory.push(server.anonymous);
    void checkHealth(tally);
    void server.backlog().then(
      (jobs) => (backlog = Math.max(backlog, jobs)),
      () => undefined,
    );
  }, 1_000);
  const offered = await offer(rate * FACTOR, SECONDS, tally);
  const recovery = await server.drained();
  clearInterval(sampling);
  const accepted = tally.statuses.get('202') ?? 0;
  const stored = (await server.stored()) - before;
  const [sorted, health] = [tally.latencies, tally.health].map((all) => all.sort((a, b) => a - b)) as [number[], number[]];
  const rows = [
    ['stored per second, before', rate.toFixed(0)],
    ['offered', `${offered} events in ${SECONDS} s, ${FACTOR} times that`],
    ['answers', [...tally.statuses].map(([key, count]) => `${key}: ${count}`).join(', ')],
    ['accepted and not stored', String(accepted - stored)],
    ['time to the 202', `median ${percentile(sorted, 0.5)}, 99 % ${percentile(sorted, 0.99)}, longest ${percentile(sorted, 1)}`],
    ['a new connection and its first answer', `median ${percentile(health, 0.5)}, longest ${percentile(health, 1)}`],
    [
      'memory (RssAnon)',
      `idle ${idle.toFixed(0)} MB, highest ${Math.max(...memory).toFixed(0)} MB, at the end ${server.anonymous.toFixed(0)} MB`,
    ],
    ['jobs in the lanes, most', String(backlog)],
    ['recovered after', `${(recovery / 1_000).toFixed(1)} s`],
  ];
  console.log(`| ${kind} | |\n| --- | --- |\n${rows.map((row) => `| ${row.join(' | ')} |`).join('\n')}`);
  await server.stop();
}

void main(process.argv[2] ?? 'embedded');
