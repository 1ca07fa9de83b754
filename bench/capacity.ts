/**
 * What one event costs each part of an installation, for the sizing table of docs/operations.md: CPU microseconds of the server,
 * of its queue's Redis and of its store's PostgreSQL, and bytes on the wire and in PostgreSQL's log. 128 requests are
 * under way, each with one event of 200 bytes of payload, as EMQX sends them. `npm run bench:capacity` needs
 * `npm run services -- postgres redis`, and the compiled server.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { Redis } from 'ioredis';
import { Client } from 'pg';
import { backendUrl } from '../test/support/backends';
import { emptyDatabase } from '../test/support/database';
import { emptyRedis } from '../test/support/redis';
import { cpuMicros } from './cpu';
import { offer } from './offer';
import { BenchServer, publishEvent } from './server';

const SECONDS = Number(process.env['SECONDS'] ?? 10);
const WARM_UP_SECONDS = 2;
const PORT = 18_485;
const SHAPE = { port: PORT, connections: 64, pipelining: 2, topics: 1_000 } as const;

function parentOf(pid: string): string {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1] ?? '';
}

/** The CPU time of the process and of its children that live. A process that ends meanwhile counts nothing. */
function familyMicros(parent: string): number {
  let sum = 0;
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      if (pid === parent || parentOf(pid) === parent) sum += cpuMicros(Number(pid));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' && (error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
  return sum;
}

/** Everything that is counted, so far. CPU in microseconds, the rest in bytes. */
type Counts = Readonly<Record<'server' | 'queue' | 'store' | 'queueIn' | 'queueOut' | 'log', number>>;

class Meter {
  private constructor(
    private readonly server: BenchServer,
    private readonly redis: Redis,
    private readonly pg: Client,
    private readonly postmaster: string,
  ) {}

  static async open(server: BenchServer, redisUrl: string, postgresUrl: string): Promise<Meter> {
    const pg = new Client({ connectionString: postgresUrl });
    await pg.connect();
    const { rows } = await pg.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    return new Meter(server, new Redis(redisUrl), pg, parentOf(String(rows[0]?.pid)));
  }

  async read(): Promise<Counts> {
    const info = await this.redis.info();
    const field = (name: string): number => Number(new RegExp(`^${name}:(.*)$`, 'm').exec(info)?.[1] ?? NaN);
    const { rows } = await this.pg.query<{ bytes: string }>("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') AS bytes");
    return {
      server: cpuMicros(this.server.pid),
      queue: (field('used_cpu_user') + field('used_cpu_sys')) * 1e6,
      store: familyMicros(this.postmaster),
      queueIn: field('total_net_input_bytes'),
      queueOut: field('total_net_output_bytes'),
      log: Number(rows[0]?.bytes),
    };
  }

  async close(): Promise<void> {
    this.redis.disconnect();
    await this.pg.end();
  }
}

async function main(): Promise<void> {
  const [postgres, redis] = [backendUrl('postgres'), backendUrl('redis')];
  if (postgres === null || redis === null) throw new Error('npm run services -- postgres redis');
  await emptyRedis(`${redis}/13`);
  const url = await emptyDatabase(postgres, 'offline_bench_capacity');
  const server = await BenchServer.start(PORT, { STORE_URL: url, QUEUE_URL: `${redis}/13` });
  const meter = await Meter.open(server, redis, url);
  await offer({ ...SHAPE, seconds: WARM_UP_SECONDS });
  await server.drained();
  const before = await meter.read();
  const { accepted, seconds } = await offer({ ...SHAPE, seconds: SECONDS });
  await server.drained();
  const after = await meter.read();
  await meter.close();
  await server.stop();
  const each = (name: keyof Counts): string => ((after[name] - before[name]) / accepted).toFixed(1);
  console.log(`${accepted} events in ${seconds.toFixed(1)} s, each with a body of ${publishEvent(1).length} bytes\n`);
  console.log('| each event | |\n| --- | --- |');
  console.log(`| CPU of the server, microseconds | ${each('server')} |`);
  console.log(`| CPU of the queue's Redis | ${each('queue')} |`);
  console.log(`| CPU of PostgreSQL, all processes | ${each('store')} |`);
  console.log(`| bytes into and out of Redis | ${each('queueIn')} and ${each('queueOut')} |`);
  console.log(`| bytes of PostgreSQL's log (WAL) | ${each('log')} |`);
}

void main();
