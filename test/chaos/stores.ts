import { backendUrl, BACKENDS } from '../support/backends';
import { EMPTY_STORES, type StoreName } from '../support/empty-store';
import { SERVICES } from '../services';
import { isRunning, stopService } from '../services/processes';
import { IS_DEFAULT_SET, type Service } from '../services/service';
import { eventually, pause } from '../services/wait';
import type { OwnDatabase } from './databases';

/** How each server dies. PostgreSQL's processes end together at SIGQUIT, its immediate shutdown; so does FerretDB, a Go program. Redis is the run's own. */
const DEATHS: Partial<Record<StoreName, 'SIGQUIT' | 'SIGKILL'>> = {
  postgres: 'SIGQUIT',
  timescale: 'SIGQUIT',
  // With the PostgreSQL behind it.
  mongodb: 'SIGQUIT',
  mysql: 'SIGKILL',
  mariadb: 'SIGKILL',
  cassandra: 'SIGKILL',
  clickhouse: 'SIGKILL',
  'clickhouse-current': 'SIGKILL',
  // DynamoDB Local keeps its data in memory, Redis for other tests is not synced, its cluster and sentinels have replicas: only their links break.
};
const ANSWER_MS = 60_000;

/** An empty place on a server that runs already. */
export interface SharedStore {
  readonly url: string;
  /** null: it must not die. */
  readonly server: OwnDatabase | null;
  readonly drop: () => Promise<void>;
}

export async function sharedStore(name: StoreName): Promise<SharedStore> {
  const address = backendUrl(name);
  if (address === null) throw new Error(`${name} does not run: npm run services`);
  const empty = await EMPTY_STORES[name](address, `offline_chaos_${process.pid}`);
  return { ...empty, server: mortal(name, address) };
}

/** Others use the default set of servers, and what was not started here cannot be started again: these live on. */
function mortal(name: StoreName, address: string): OwnDatabase | null {
  const signal = DEATHS[name];
  const service = SERVICES.find((each) => each.name === name);
  if (IS_DEFAULT_SET || signal === undefined || service?.variables[BACKENDS[name]] !== address || !isRunning(name)) return null;
  const revive = () => start(service);
  return {
    ...{ url: address, port: null },
    async crash(downMs) {
      await stopService(name, signal);
      await pause(downMs);
      await revive();
    },
    revive,
    // It was there before.
    stop: () => Promise.resolve(),
  };
}

async function start(service: Service): Promise<void> {
  await eventually(ANSWER_MS, () => service.start());
  await eventually(ANSWER_MS, () => service.check());
}
