import { backendUrl } from '../../test/support/backends';
import { emptyDatabase } from '../../test/support/database';
import { emptyRedis } from '../../test/support/redis';
import { BenchServer } from '../server';
import { Action } from './action';
import { published } from './events';
import type { RemoteDouble } from './remote';

/** servers: the store on PostgreSQL, the queue on Redis. postgres: both on PostgreSQL. */
export const kinds = ['servers', 'postgres', 'embedded'] as const;
export type Kind = (typeof kinds)[number];

const PORT = 18_486;
const PUBLISHERS = 64;

export interface Target {
  readonly server: BenchServer;
  /** null: the embedded store. */
  readonly storeUrl: string | null;
}

/** A server with nothing in it, to which the double's events go while `work` runs. `env`: more settings. */
export async function withServer<T>(
  kind: Kind,
  double: RemoteDouble,
  env: Readonly<Record<string, string>>,
  work: (target: Target) => Promise<T>,
): Promise<T> {
  const backends = await settings(kind);
  const emqx = { EMQX_URL: `http://127.0.0.1:${double.port}/api/v5`, EMQX_API_KEY: 'bench', EMQX_API_SECRET: 'bench' };
  const server = await BenchServer.start(PORT, { ...backends, ...emqx, ...env });
  try {
    await double.call('aim', PORT);
    const result = await work({ server, storeUrl: backends['STORE_URL'] ?? null });
    await double.call('aim', null);
    return result;
  } finally {
    await server.stop();
  }
}

async function settings(kind: Kind): Promise<Record<string, string>> {
  if (kind === 'embedded') return {};
  const [postgres, redis] = [backendUrl('postgres'), backendUrl('redis')];
  if (postgres === null || redis === null) throw new Error('npm run services -- postgres redis');
  const STORE_URL = await emptyDatabase(postgres, 'offline_bench_delivery');
  if (kind === 'postgres') return { STORE_URL, QUEUE_URL: STORE_URL };
  await emptyRedis(`${redis}/13`);
  return { STORE_URL, QUEUE_URL: `${redis}/13` };
}

/** Publishes a message to each topic, of many publishers. Resolves when all are stored. */
export async function fill({ server }: Target, topics: readonly string[]): Promise<void> {
  const action = await Action.open(server.port);
  await Promise.all(topics.map((topic, i) => action.send(published(`publisher-${i % PUBLISHERS}`, topic).event)));
  action.close();
  await server.drained();
}
