/**
 * What delivery costs: the built server with a broker double (bench/delivery/double.ts) whose clients acknowledge at once, each figure beside a plain
 * counterpart that stores nothing, in the same run and with the same double. Server, double and harness are processes of their own; the plain side
 * runs in the harness. `npm run build` first, and `npm run services -- postgres redis` for all but `embedded`.
 *
 *     npm run bench:delivery -- [servers | postgres | embedded] [one] [storm] [many] [pubsub] [latency]
 *
 * In the environment: ROUNDS (3), SERVER (the main.js of another build), COUNT (one: 4,000 messages), CLIENTS (storm: 1,000), MANY_CLIENTS (many: 10,000),
 * RATE (pubsub: 1000,5000), SECONDS (pubsub: 10), TRIES (latency: 50), BACKLOG (latency: 100,000).
 */
import { cpus, loadavg } from 'node:os';
import { setting, type Measurement } from './delivery/context';
import { Table } from './delivery/figures';
import { latency } from './delivery/latency';
import { one } from './delivery/one';
import { pubsub } from './delivery/pubsub';
import { RemoteDouble } from './delivery/remote';
import { many, storm } from './delivery/storm';
import { kinds, type Kind } from './delivery/target';

const MEASUREMENTS: Readonly<Record<string, Measurement>> = { one, storm, many, pubsub, latency };

async function main(args: readonly string[]): Promise<void> {
  const kind = args.find((each): each is Kind => kinds.includes(each as Kind)) ?? 'servers';
  const names = args.filter((each) => each !== kind);
  const unknown = names.filter((name) => !(name in MEASUREMENTS));
  if (unknown.length > 0)
    throw new Error(`unknown: ${unknown.join(', ')}; there are ${[...kinds, ...Object.keys(MEASUREMENTS)].join(', ')}`);
  const rounds = setting('ROUNDS', 3);
  process.stdout.write(
    `\n${kind}, medians of ${rounds} rounds; ${cpus().length} cores, load average ${loadavg()[0]?.toFixed(1)} at the start\n\n`,
  );
  const double = await RemoteDouble.start();
  try {
    const table = new Table();
    for (const [name, measure] of Object.entries(MEASUREMENTS)) {
      if (names.length === 0 || names.includes(name)) await measure({ kind, double, rounds, table });
    }
  } finally {
    double.stop();
  }
}

void main(process.argv.slice(2));
