/**
 * Measures what an event costs on its way into the store: this server, with its queue on Redis and its store on PostgreSQL,
 * beside a bare node:http server that parses the same JSON and runs the same validator, and beside a naive peer
 * (naive.ts). All of them in one run, each in a process of its own, with the load from a process of its own: compare
 * the ratios, because the machines differ. `npm run bench` needs `npm run services -- postgres redis`; `npm run bench
 * -- embedded` measures the embedded default instead of the servers.
 */
import { once } from 'node:events';
import { backendUrl } from '../test/support/backends';
import { emptyDatabase } from '../test/support/database';
import { emptyRedis } from '../test/support/redis';
import { cpuMicros } from './cpu';
import { child, offer, stopped } from './offer';
import { BenchServer } from './server';

const SECONDS = Number(process.env['SECONDS'] ?? 6);
const WARM_UP_SECONDS = 2;
const ROUNDS = Number(process.env['ROUNDS'] ?? 3);
const TOPICS = 100;
const PORT = 18_480;
/** Connections and requests under way on each: 64 in all for the first answer, 128 and 512 for the rate. */
const SHAPES = [
  { connections: 64, pipelining: 1 },
  { connections: 64, pipelining: 2 },
  { connections: 64, pipelining: 8 },
] as const;

interface Figures {
  /** Events answered 202 per second. */
  readonly accepted: number;
  /** Events that are in the store, per second, from the first request until the last event is stored. */
  readonly stored: number;
  /** CPU microseconds of the server's process per event, until the last event is stored. */
  readonly cpu: number;
}

interface Target {
  readonly pid: number;
  readonly port: number;
  /** Resolves when everything that was accepted is stored. */
  drained(): Promise<unknown>;
  stop(): Promise<unknown>;
}

async function measure(target: Target, shape: (typeof SHAPES)[number], seconds: number): Promise<Figures> {
  const before = cpuMicros(target.pid);
  const { accepted, seconds: took } = await offer({ port: target.port, ...shape, seconds, topics: TOPICS });
  const offered = performance.now();
  await target.drained();
  const all = took + (performance.now() - offered) / 1_000;
  return { accepted: accepted / took, stored: accepted / all, cpu: (cpuMicros(target.pid) - before) / accepted };
}

async function bare(): Promise<Target> {
  const process = child('bare.ts');
  const [port] = (await once(process, 'message')) as [number];
  return { pid: process.pid ?? 0, port, drained: async () => undefined, stop: () => stopped(process) };
}

async function server(env: Readonly<Record<string, string>>): Promise<Target> {
  const process = await BenchServer.start(PORT, env);
  return { pid: process.pid, port: PORT, drained: () => process.drained(), stop: () => process.stop() };
}

async function naive(env: Readonly<Record<string, string>>): Promise<Target> {
  const process = child('naive.ts', env);
  const [port] = (await once(process, 'message')) as [number];
  const drained = async () => {
    while ((await (await fetch(`http://127.0.0.1:${port}/waiting`)).json()) !== 0) await new Promise((resolve) => setTimeout(resolve, 50));
  };
  return { pid: process.pid ?? 0, port, drained, stop: () => stopped(process) };
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;

/** Runs the targets in turns, so that a slow moment of the machine affects all of them. */
async function compare(targets: ReadonlyMap<string, () => Promise<Target>>, shape: (typeof SHAPES)[number]): Promise<Map<string, Figures>> {
  const all = new Map<string, Figures[]>([...targets.keys()].map((name) => [name, []]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, open] of targets) {
      const target = await open();
      await measure(target, shape, WARM_UP_SECONDS);
      all.get(name)?.push(await measure(target, shape, SECONDS));
      await target.stop();
    }
  }
  const pick = (figures: readonly Figures[], key: keyof Figures) => median(figures.map((each) => each[key]));
  return new Map(
    [...all].map(([name, figures]) => [
      name,
      { accepted: pick(figures, 'accepted'), stored: pick(figures, 'stored'), cpu: pick(figures, 'cpu') },
    ]),
  );
}

async function settings(): Promise<Record<string, string>> {
  const [postgres, redis] = [backendUrl('postgres'), backendUrl('redis')];
  if (postgres === null || redis === null) throw new Error('npm run services -- postgres redis');
  await emptyRedis(`${redis}/15`);
  return { STORE_URL: await emptyDatabase(postgres, 'offline_bench_ingest'), QUEUE_URL: `${redis}/15` };
}

async function main(kinds: readonly string[]): Promise<void> {
  const targets = new Map<string, () => Promise<Target>>([['bare', bare]]);
  if (kinds.includes('embedded')) targets.set('embedded', () => server({}));
  else targets.set('server', async () => server(await settings()));
  if (!kinds.includes('embedded') && !kinds.includes('quick')) targets.set('naive', async () => naive(await settings()));
  for (const shape of SHAPES) {
    const figures = await compare(targets, shape);
    const base = figures.get('bare') as Figures;
    const ratio = (value: number, of: number) => `${value.toFixed(0)} (${(value / of).toFixed(2)})`;
    process.stdout.write(
      `\n${shape.connections * shape.pipelining} requests under way on ${shape.connections} connections; in brackets the ratio to bare\n`,
    );
    process.stdout.write('| | accepted per second | stored per second | CPU per event, microseconds |\n| --- | --- | --- | --- |\n');
    for (const [name, { accepted, stored, cpu }] of figures) {
      const written = name === 'bare' ? '-' : ratio(stored, base.accepted);
      process.stdout.write(
        `| ${name} | ${ratio(accepted, base.accepted)} | ${written} | ${cpu.toFixed(0)} (${(cpu / base.cpu).toFixed(2)}) |\n`,
      );
    }
  }
}

void main(process.argv.slice(2));
