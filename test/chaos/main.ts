import { existsSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { StoreName } from '../support/empty-store';
import { CONFIGURATIONS, onStore, type Configuration } from './configurations';
import { isOfTraffic, type FaultGroup } from './faults';
import type { Result } from './result';
import { runRound } from './round';
import { FAKETIME } from './servers';
import { closeAll } from './setting';
import { details, table } from './table';

const ROOT = join(__dirname, '../..');
/** Each round publishes for at least so long: in less time there would be faults of some groups only. */
const SHORTEST_S = 12;
/** And so many messages at least: with fewer no window is full. */
const LEAST = 1_000;

const USAGE = `npm run chaos -- [--short] [--seed N] [--messages N] [--rate N] [--groups N] [--only NAME,...] [--store NAME,...] [--faults GROUP,...] [--appendfsync always|everysec] [--source] [--server DIR]
  --short      a tenth of the messages, at a rate that leaves each round ${SHORTEST_S} s for its faults
  --messages   of all configurations together (160000)
  --rate       messages a second (500) at most
  --groups     of each kind of subscriber (4; 1 with --short), with 8 publishers each: fewer for a slow store
  --only       of ${CONFIGURATIONS.map(({ name }) => name).join(', ')}
  --store      on stores that run already: names of test/support/empty-store.ts
  --faults     only of these groups: server, emqx, queue, store, still, drops; fewer groups have more faults each
  --source     run the server from its sources, not from dist/
  --server     run the build that is in DIR/dist, with the rule of DIR/rules: another version, to compare`;

async function main(): Promise<void> {
  const string = { type: 'string' } as const;
  const flag = { type: 'boolean', default: false } as const;
  const { values } = parseArgs({
    options: {
      seed: string,
      messages: string,
      rate: string,
      groups: string,
      only: string,
      store: string,
      faults: string,
      appendfsync: string,
      server: string,
      short: flag,
      source: flag,
      help: flag,
    },
  });
  if (values.help) return void process.stdout.write(`${USAGE}\n`);
  const seed = Number(values.seed ?? Math.floor(Math.random() * 1_000_000));
  const chosen = choose(values.only, values.store)
    .map((configuration) => withFaults(configuration, values.faults))
    .filter(isPossible);
  if (chosen.length === 0) throw new Error('no configuration is left to run');
  const shares = chosen.reduce((sum, { share }) => sum + share, 0);
  const groups = Number(values.groups ?? (values.short ? 1 : 4));
  const messages = Number(values.messages ?? (values.short ? 16_000 : 160_000));
  const logs = join(tmpdir(), `offline-chaos-${seed}`);
  mkdirSync(logs, { recursive: true });
  process.stdout.write(`seed ${seed}; the servers' logs: ${logs}\n`);
  const results: Result[] = [];
  for (const configuration of chosen) {
    const share = Math.min(configuration.messages ?? Infinity, Math.max(LEAST, Math.round((messages * configuration.share) / shares)));
    const result = await runRound({
      ...{ configuration, seed, logs, pauseMs: pauseOf(configuration) },
      appendfsync: values.appendfsync === 'everysec' ? 'everysec' : 'always',
      directory: values.server === undefined ? ROOT : resolve(values.server),
      command: values.source ? ['--import', 'tsx', 'src/main.ts'] : ['dist/main.js'],
      traffic: {
        messages: share,
        perSecond: Math.min(Number(values.rate ?? 500), configuration.perSecond ?? Infinity, share / SHORTEST_S),
        publishers: 8 * groups,
        groups,
      },
      progress: (text) => process.stderr.write(`${configuration.name}: ${text}\n`),
    });
    process.stdout.write(`${details(result)}\n`);
    results.push(result);
  }
  process.stdout.write(`\n${table(results)}\n`);
  if (results.some(({ failures }) => failures.length > 0)) process.exitCode = 1;
}

function withFaults(configuration: Configuration, groups: string | undefined): Configuration {
  return groups === undefined
    ? configuration
    : { ...configuration, faults: configuration.faults.filter((group) => isOfTraffic(group) || groups.split(',').includes(group)) };
}

/** A configuration for which this machine lacks something, or that has none of the chosen groups, is left out. A line says so. */
function isPossible({ name, faults }: Configuration): boolean {
  const lack = lackOf(faults);
  if (lack !== null) process.stdout.write(`SKIPPED: ${name}: it needs ${lack}\n`);
  return lack === null;
}

function lackOf(faults: readonly FaultGroup[]): string | null {
  if (faults.every(isOfTraffic) && !faults.some((group) => group === 'hostile' || group === 'purge'))
    return 'one of the groups of --faults';
  if (faults.includes('disk') && process.getuid?.() !== 0) return 'root, to mount a small disk';
  if (faults.includes('clock') && !existsSync(FAKETIME)) return 'libfaketime (apt-get install libfaketime)';
  return null;
}

/** A server that dies has its job taken over after 12 s: faults must leave time for some work between them. */
function pauseOf({ faults }: Configuration): [number, number] {
  const { length } = faults.filter((group) => !isOfTraffic(group));
  return [1_000 * length, 7_000 * length];
}

function choose(only: string | undefined, store: string | undefined): readonly Configuration[] {
  if (store !== undefined) return store.split(',').map((name) => onStore(name as StoreName));
  if (only === undefined) return CONFIGURATIONS;
  const names = only.split(',');
  const unknown = names.filter((name) => !CONFIGURATIONS.some((each) => each.name === name));
  if (unknown.length > 0) throw new Error(`unknown: ${unknown.join(', ')}\n${USAGE}`);
  return CONFIGURATIONS.filter(({ name }) => names.includes(name));
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void closeAll().then(() => process.exit(1)));

main().then(
  () => process.exit(),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
    process.exit(1);
  },
);
