/**
 * Events at five times what the server can take, for two minutes (SECONDS): what becomes of memory, of the time to the 202, of what is refused, and
 * how long it takes to recover. `npm run bench:overload -- embedded` (the default) or `servers` (PostgreSQL and Redis that run).
 */
import { Agent } from 'node:http';
import { backendUrl } from '../test/support/backends';
import { emptyDatabase } from '../test/support/database';
import { withRedis } from '../test/support/redis';
import { BenchServer, post, publishEvent } from './server';

const PORT = 16_480;
const TOPICS = 1_000;
const SECONDS = Number(process.env['SECONDS'] ?? 120);
const FACTOR = 5;
/** As many as several nodes of EMQX would have under way; they are opened bit by bit, as EMQX's are. */
const CONNECTIONS = 3_000;
const RAMP_MS = 5_000;
const CALIBRATION_MS = 10_000;
const TICK_MS = 10;

interface Tally {
  readonly statuses: Map<string, number>;
  /** ms, of 202. */
  readonly latencies: number[];
}

/** As fast as 64 connections go, then until all is stored. @returns stored per second. */
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

/** At this rate whatever the answers, up to CONNECTIONS requests at a time. */
async function offer(rate: number, seconds: number, tally: Tally): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const start = performance.now();
  let [sent, open] = [0, 0];
  const one = async () => {
    open++;
    const begun = performance.now();
    const key = await post(agent, PORT, publishEvent(TOPICS)).then(
      ({ status, retryAfter }) => {
        if (status === 202) tally.latencies.push(performance.now() - begun);
        return status === 202 || retryAfter !== undefined ? String(status) : `${status} without Retry-After`;
      },
      (error: NodeJS.ErrnoException) => error.code ?? 'error',
    );
    tally.statuses.set(key, (tally.statuses.get(key) ?? 0) + 1);
    open--;
  };
  for (let now = 0; now < seconds * 1_000; now = performance.now() - start) {
    const due = Math.floor((now / 1_000) * rate);
    const most = CONNECTIONS * Math.min(1, (now + TICK_MS) / RAMP_MS);
    for (; sent < due && open < most; sent++) void one();
    if (sent < due) {
      tally.statuses.set('not sent, all connections busy', (tally.statuses.get('not sent, all connections busy') ?? 0) + due - sent);
      sent = due;
    }
    await new Promise((resolve) => setTimeout(resolve, TICK_MS));
  }
  while (open > 0) await new Promise((resolve) => setTimeout(resolve, TICK_MS));
  agent.destroy();
  return sent;
}

const percentile = (sorted: readonly number[], share: number): string => `${(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN).toFixed(0)} ms`;

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
  const idle = server.rss;
  const rate = await capacity(server);
  const before = await server.stored();
  const tally: Tally = { statuses: new Map(), latencies: [] };
  const memory: number[] = [];
  let backlog = 0;
  const sampling = setInterval(() => {
    memory.push(server.rss);
    void server.backlog().then((jobs) => (backlog = Math.max(backlog, jobs)), () => undefined);
  }, 1_000);
  const offered = await offer(rate * FACTOR, SECONDS, tally);
  const recovery = await server.drained();
  clearInterval(sampling);
  const accepted = tally.statuses.get('202') ?? 0;
  const stored = (await server.stored()) - before;
  const sorted = tally.latencies.sort((a, b) => a - b);
  const rows = [
    ['stored per second, before', rate.toFixed(0)],
    ['offered', `${offered} events in ${SECONDS} s, ${FACTOR} times that`],
    ['answers', [...tally.statuses].map(([key, count]) => `${key}: ${count}`).join(', ')],
    ['accepted and not stored', String(accepted - stored)],
    ['time to the 202', `median ${percentile(sorted, 0.5)}, 99 % ${percentile(sorted, 0.99)}, longest ${percentile(sorted, 1)}`],
    ['memory (RSS)', `idle ${idle.toFixed(0)} MB, highest ${Math.max(...memory).toFixed(0)} MB, at the end ${server.rss.toFixed(0)} MB`],
    ['jobs in the lanes, most', String(backlog)],
    ['recovered after', `${(recovery / 1_000).toFixed(1)} s`],
  ];
  console.log(`| ${kind} | |\n| --- | --- |\n${rows.map((row) => `| ${row.join(' | ')} |`).join('\n')}`);
  await server.stop();
}

void main(process.argv[2] ?? 'embedded');
