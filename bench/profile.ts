/**
 * Where the CPU time of an event goes: the server (queue on Redis, store on PostgreSQL) under the load of ingest.ts with V8's profiler, self time
 * grouped by part of the server and by package. `npm run bench:profile`.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { backendUrl } from '../test/support/backends';
import { emptyDatabase } from '../test/support/database';
import { emptyRedis } from '../test/support/redis';
import { offerLoad } from './load';
import { BenchServer } from './server';

const PORT = 18_481;
const SECONDS = Number(process.env['SECONDS'] ?? 8);
const SAMPLES_SHOWN = 18;

interface Profile {
  readonly nodes: readonly { readonly id: number; readonly callFrame: { readonly functionName: string; readonly url: string } }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** `src/door`, a package's name, or Node itself. */
function partOf({ functionName, url }: Profile['nodes'][number]['callFrame']): string {
  if (url === '') return functionName.startsWith('(') ? functionName : 'node (native)';
  const ofPackage = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1];
  if (ofPackage !== undefined) return ofPackage;
  const own = /\/dist\/(?:([^/]+)\/)?[^/]*$/.exec(url.replace(/(\/dist\/[^/]+)\/.*\//, '$1/'));
  return own === null ? (url.replace(/^node:(internal\/)?/, 'node:').split('/')[0] ?? url) : `src/${own[1] ?? ''}`;
}

function summarize(profile: Profile, events: number): string {
  const names = new Map(profile.nodes.map(({ id, callFrame }) => [id, partOf(callFrame)]));
  const times = new Map<string, number>();
  profile.samples.forEach((id, i) => {
    const name = names.get(id) ?? '';
    if (name !== '(idle)') times.set(name, (times.get(name) ?? 0) + (profile.timeDeltas[i] ?? 0));
  });
  const total = [...times.values()].reduce((sum, each) => sum + each, 0);
  const rows = [...times].sort(([, a], [, b]) => b - a).slice(0, SAMPLES_SHOWN);
  return [
    '| part | microseconds per event |',
    '| --- | --- |',
    ...rows.map(([name, time]) => `| ${name} | ${(time / events).toFixed(1)} |`),
    `| all | ${(total / events).toFixed(1)} |`,
  ].join('\n');
}

async function main(): Promise<void> {
  const [postgres, redis] = [backendUrl('postgres'), backendUrl('redis')];
  if (postgres === null || redis === null) throw new Error('npm run services -- postgres redis');
  await emptyRedis(`${redis}/15`);
  const profiles = mkdtempSync(join(tmpdir(), 'offline-profile-'));
  const env = { STORE_URL: await emptyDatabase(postgres, 'offline_bench_profile'), QUEUE_URL: `${redis}/15` };
  const server = await BenchServer.start(PORT, env, ['--cpu-prof', `--cpu-prof-dir=${profiles}`]);
  const { accepted } = await offerLoad({ port: PORT, connections: 64, pipelining: 2, seconds: SECONDS, topics: 100 });
  await server.drained();
  await server.stop();
  const file = readdirSync(profiles).find((name) => name.endsWith('.cpuprofile')) ?? '';
  process.stdout.write(`${accepted} events\n${summarize(JSON.parse(readFileSync(join(profiles, file), 'utf8')) as Profile, accepted)}\n`);
  rmSync(profiles, { recursive: true });
}

void main();
