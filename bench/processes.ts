/**
 * Two server processes on one queue and one store, beside one: events stored per second, and CPU per event of both together. The load is the same and
 * goes to both in turn. `npm run bench:processes` needs `npm run services -- postgres redis`. With two cores for servers, databases and load the
 * processes can't be faster together: there the CPU per event tells what the second one costs.
 */
import { backendUrl } from '../test/support/backends';
import { emptyDatabase } from '../test/support/database';
import { emptyRedis } from '../test/support/redis';
import { cpuMicros } from './cpu';
import { offerLoad } from './load';
import { BenchServer } from './server';

const PORTS = [18_482, 18_483];
const SECONDS = Number(process.env['SECONDS'] ?? 6);
const ROUNDS = Number(process.env['ROUNDS'] ?? 3);

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;

async function measure(count: number): Promise<{ stored: number; cpu: number }> {
  const [postgres, redis] = [backendUrl('postgres'), backendUrl('redis')];
  if (postgres === null || redis === null) throw new Error('npm run services -- postgres redis');
  await emptyRedis(`${redis}/15`);
  const env = { STORE_URL: await emptyDatabase(postgres, 'offline_bench_processes'), QUEUE_URL: `${redis}/15` };
  const servers: BenchServer[] = [];
  for (const port of PORTS.slice(0, count)) servers.push(await BenchServer.start(port, env));
  const load = (seconds: number) =>
    Promise.all(servers.map(({ port }) => offerLoad({ port, connections: 64 / count, pipelining: 2, seconds, topics: 100 })));
  await load(2);
  const cpu = () => servers.reduce((sum, { pid }) => sum + cpuMicros(pid), 0);
  const [before, start] = [cpu(), performance.now()];
  const accepted = (await load(SECONDS)).reduce((sum, outcome) => sum + outcome.accepted, 0);
  await servers[0]?.drained();
  const seconds = (performance.now() - start) / 1_000;
  const used = cpu() - before;
  for (const server of servers) await server.stop();
  return { stored: accepted / seconds, cpu: used / accepted };
}

async function main(): Promise<void> {
  const [one, two] = [[], []] as { stored: number; cpu: number }[][];
  for (let round = 0; round < ROUNDS; round++) {
    one?.push(await measure(1));
    two?.push(await measure(2));
  }
  const of = (all: { stored: number; cpu: number }[] = []) => ({
    stored: median(all.map(({ stored }) => stored)),
    cpu: median(all.map(({ cpu }) => cpu)),
  });
  const [single, both] = [of(one), of(two)];
  console.log('| | one process | two | ratio |\n| --- | --- | --- | --- |');
  console.log(
    `| stored per second | ${single.stored.toFixed(0)} | ${both.stored.toFixed(0)} | ${(both.stored / single.stored).toFixed(2)} |`,
  );
  console.log(
    `| CPU per event, all processes, microseconds | ${single.cpu.toFixed(0)} | ${both.cpu.toFixed(0)} | ${(both.cpu / single.cpu).toFixed(2)} |`,
  );
}

void main();
