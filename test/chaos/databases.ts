import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { userNamed } from '../services/files';
import { postgresUrl, startCluster } from '../services/postgres-cluster';
import { postgresBin } from '../services/postgres';
import { stopService } from '../services/processes';
import { expectAnswer, redisCli, startRedis } from '../services/redis-server';
import { DIRECTORY, HOST } from '../services/service';
import { eventually } from '../services/wait';

const START_MS = 60_000;
/** The nodes of a Redis Cluster talk to each other on a second port, this far from the first. */
const CLUSTER_BUS = 10;
/** Processes are killed here, not the machine: what a disk has synced is no question, and memory is as good and much quicker. */
const MEMORY = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

/** A database server of the run's own, which may be killed. */
export interface OwnDatabase {
  /** For STORE_URL or QUEUE_URL. */
  readonly url: string;
  /** Where one proxy can stand before it; null: it has several addresses. */
  readonly port: number | null;
  /** It dies (one of its processes does), and is started again after the time. */
  crash(downMs: number): Promise<void>;
  /** Starts it if it ended by itself. */
  revive(): Promise<void>;
  stop(): Promise<void>;
}

/** AOF, written and synced before each answer: what Redis has confirmed is there after a crash. `everysec` may lose the last moments. */
export async function ownRedis(
  role: 'queue' | 'store',
  appendfsync: 'always' | 'everysec',
  directory: string | null = null,
): Promise<OwnDatabase> {
  const service = `chaos-redis-${role}-${process.pid}`;
  const port = await portBelow(16_900);
  const dispose = forget(service);
  const args = ['--appendfsync', appendfsync, '--dir', directory ?? memoryOf(service)];
  const start = () => eventually(START_MS, () => startRedis({ service, port, args }));
  await start();
  return {
    ...{ url: `redis://${HOST}:${port}`, port },
    async crash(downMs) {
      await stopService(service, 'SIGKILL');
      await pause(downMs);
      await start();
    },
    revive: start,
    stop: dispose,
  };
}

/** Three masters without replicas. */
export async function ownRedisCluster(): Promise<OwnDatabase> {
  const services = [0, 1, 2].map((node) => `chaos-cluster-${process.pid}-${node}`);
  const ports: number[] = [];
  for (let from = 16_600; ports.length < services.length; from = (ports.at(-1) ?? from) - 20)
    ports.push(await portBelow(from, CLUSTER_BUS));
  const start = (node: number) => {
    const port = ports[node] ?? 0;
    const args = [
      '--dir',
      memoryOf(services[node] ?? ''),
      '--appendfsync',
      'always',
      '--cluster-enabled',
      'yes',
      '--cluster-port',
      String(port + CLUSTER_BUS),
      '--cluster-node-timeout',
      '2000',
    ];
    return eventually(START_MS, () => startRedis({ service: services[node] ?? '', port, args }));
  };
  const isWhole = () =>
    eventually(START_MS, () => Promise.all(ports.map((port) => expectAnswer(redisCli(port, 'CLUSTER', 'INFO'), /cluster_state:ok/))));
  const disposers = services.map(forget);
  await Promise.all(services.map((_, node) => start(node)));
  const addresses = ports.map((port) => `${HOST}:${port}`);
  await redisCli(ports[0] ?? 0, '--cluster', 'create', ...addresses, '--cluster-yes');
  await isWhole();
  let turn = 0;
  return {
    ...{ url: `redis+cluster://${addresses.join(',')}`, port: null },
    async crash(downMs) {
      const node = turn++ % services.length;
      await stopService(services[node] ?? '', 'SIGKILL');
      await pause(downMs);
      await start(node);
      await isWhole();
    },
    revive: async () => void (await Promise.all(services.map((_, node) => start(node)))),
    stop: async () => void (await Promise.all(disposers.map((dispose) => dispose()))),
  };
}

/** A crash is an immediate shutdown: it recovers from its log at the next start. */
export async function ownPostgres(): Promise<OwnDatabase> {
  const service = `chaos-postgres-${process.pid}`;
  const port = await portBelow(16_800);
  const cluster = { service, port, database: 'offline', bin: postgresBin, identity: userNamed('postgres'), settings: ['fsync=off'] };
  const dispose = forget(service);
  const start = () => eventually(START_MS, () => startCluster(cluster));
  await start();
  return {
    ...{ url: postgresUrl(cluster), port },
    async crash(downMs) {
      await stopService(service, 'SIGQUIT');
      await pause(downMs);
      await start();
    },
    revive: start,
    stop: dispose,
  };
}

/** A small file system of its own, which can be full. */
export function smallDisk(path: string, megabytes: number): { readonly unmount: () => void } {
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=0777`, 'tmpfs', path]);
  return { unmount: () => void execFileSync('umount', ['-l', path]) };
}

function memoryOf(service: string): string {
  const path = join(MEMORY, service);
  mkdirSync(path, { recursive: true });
  return path;
}

/** Nothing of it is left, now or later. */
function forget(service: string): () => Promise<void> {
  const remove = () => {
    for (const parent of [DIRECTORY, MEMORY]) rmSync(join(parent, service), { recursive: true, force: true });
  };
  remove();
  return async () => {
    await stopService(service, 'SIGKILL');
    remove();
  };
}

/**
 * A port that nothing uses. Another run may look at the same time, so runs look a little apart.
 * @param beside offsets of other ports that must be free as well.
 */
async function portBelow(first: number, ...beside: number[]): Promise<number> {
  for (let port = first - (process.pid % 100); ; port--) {
    const found = await Promise.all([0, ...beside].map((offset) => isFree(port + offset)));
    if (found.every(Boolean)) return port;
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, HOST);
  // Rejects at 'error'.
  const listens = await once(server, 'listening').then(
    () => true,
    () => false,
  );
  if (!listens) return false;
  server.close();
  await once(server, 'close');
  return true;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
