import type { Policy } from '../../src/config/policies';
import type { StoreName } from '../support/empty-store';
import type { FaultGroup } from './faults';

export interface Configuration {
  readonly name: string;
  /** `own-`: started for the run, and killed in it. */
  readonly queue: 'embedded' | 'own-redis' | 'own-redis-cluster' | 'own-postgres';
  /** `redis`: the run's own, too. Another: a server that runs already (stores.ts). */
  readonly store: 'embedded' | 'own-postgres' | StoreName;
  readonly servers: number;
  readonly faults: readonly FaultGroup[];
  /** Of the long form's messages. */
  readonly share: number;
  /** Of all topics; otherwise the default one. */
  readonly policy?: Partial<Policy>;
  /** A small disk for it, which gets full. */
  readonly diskOf?: 'embedded' | 'queue';
}

/** The long form. */
export const CONFIGURATIONS: readonly Configuration[] = [
  { name: 'embedded', queue: 'embedded', store: 'embedded', servers: 1, faults: ['server', 'emqx'], share: 1 },
  { name: 'embedded-disk', queue: 'embedded', store: 'embedded', servers: 1, faults: ['disk', 'emqx'], share: 1, diskOf: 'embedded' },
  { name: 'redis-postgres', queue: 'own-redis', store: 'own-postgres', servers: 1, faults: ['server', 'emqx', 'queue', 'store'], share: 4 },
  { name: 'outages', queue: 'own-redis', store: 'own-postgres', servers: 1, faults: ['emqx', 'queue', 'store'], share: 3 },
  { name: 'redis-disk', queue: 'own-redis', store: 'own-postgres', servers: 1, faults: ['disk', 'emqx'], share: 1, diskOf: 'queue' },
  { name: 'clock', queue: 'own-redis', store: 'own-postgres', servers: 2, faults: ['clock', 'emqx'], share: 1 },
  { name: 'postgres', queue: 'own-postgres', store: 'own-postgres', servers: 1, faults: ['server', 'emqx', 'queue', 'store'], share: 3 },
  { name: 'several', queue: 'own-redis', store: 'own-postgres', servers: 3, faults: ['server', 'emqx', 'queue', 'store'], share: 4 },
  { name: 'several-postgres', queue: 'own-postgres', store: 'own-postgres', servers: 2, faults: ['server', 'emqx', 'store'], share: 2 },
  { name: 'cluster', queue: 'own-redis-cluster', store: 'own-postgres', servers: 3, faults: ['server', 'emqx', 'queue'], share: 3 },
  { name: 'inbox', queue: 'own-redis', store: 'own-postgres', servers: 2, faults: ['server', 'emqx', 'queue', 'store'], share: 2, policy: { deliverTo: 'inbox' } },
  { name: 'pubsub', queue: 'own-redis', store: 'own-postgres', servers: 2, faults: ['server', 'emqx', 'queue', 'store'], share: 2, policy: { mode: 'pubsub', deliverTo: 'inbox' } },
];

/** By hand: a store that runs already (npm run services). */
export function onStore(store: StoreName): Configuration {
  return { name: store, queue: 'own-redis', store, servers: 2, faults: ['server', 'emqx', 'queue', 'store'], share: 1 };
}
