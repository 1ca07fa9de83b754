import type { Policy } from '../../src/config/policies';
import type { KindName, Manner } from './groups';
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
  readonly policy?: Partial<Omit<Policy, 'fetch'>> & { readonly fetch?: { readonly limit: number } };
  /** Of groups.ts; all of them by default. */
  readonly kinds?: readonly KindName[];
  /** Instead of the kinds' own. */
  readonly manners?: Partial<Record<KindName, Manner>>;
  /** Clients with hostile names beside them (hostile.ts). */
  readonly isHostile?: boolean;
  /** One topic that ever more readers read (busy.ts). */
  readonly isBusy?: boolean;
  /** The minute's maintenance comes every few seconds. */
  readonly isPurgeQuick?: boolean;
  /** Messages a second, at most: its faults take their time. */
  readonly perSecond?: number;
  /** At most. */
  readonly messages?: number;
  /** A small disk for it, which gets full. */
  readonly diskOf?: 'embedded' | 'queue';
}

/** What the traffic brings about everywhere. */
const SCENES = ['backlog', 'resume'] as const;
const ALL = ['server', 'emqx', 'queue', 'store', ...SCENES] as const;
const INDEBTED: readonly KindName[] = ['exact', 'persistent', 'burst', 'crawl', 'resume'];
const PERSISTENT: readonly KindName[] = ['exact', 'persistent', 'resume'];
/** Every message is read under it, and none is over it: it changes nothing but how the server counts. */
const LIMITED = { fetch: { limit: 50_000 } } as const;
/** They stay long enough to be kept waiting. */
const PATIENT = {
  exact: { staysMs: [50, 12_000] },
  wildcard: { staysMs: [50, 12_000] },
  slow: { staysMs: [50, 12_000], slownessMs: 5 },
} as const;
/** Long in debt, and no other subscription that would bring what EMQX has dropped. */
const STAYING = {
  burst: { awayUntil: 150, burstMs: [500, 2_000], stays: true },
  crawl: { awayUntil: 150, slownessMs: 40, stays: true },
} as const;
const PRIVATE = { queue: 'own-redis', store: 'own-postgres' } as const;
const HOSTILE = {
  ...PRIVATE,
  servers: 2,
  faults: ['hostile', ...SCENES],
  share: 0.5,
  perSecond: 120,
  isHostile: true,
  manners: PATIENT,
} as const;

/** The long form. */
export const CONFIGURATIONS: readonly Configuration[] = [
  { name: 'embedded', queue: 'embedded', store: 'embedded', servers: 1, faults: ['server', 'emqx', ...SCENES], share: 1 },
  {
    name: 'embedded-disk',
    queue: 'embedded',
    store: 'embedded',
    servers: 1,
    faults: ['disk', 'emqx', ...SCENES],
    share: 1,
    diskOf: 'embedded',
  },
  { name: 'redis-postgres', ...PRIVATE, servers: 1, faults: ALL, share: 3 },
  { name: 'outages', ...PRIVATE, servers: 1, faults: ['emqx', 'queue', 'store', ...SCENES], share: 2 },
  { name: 'redis-disk', ...PRIVATE, servers: 1, faults: ['disk', 'emqx', ...SCENES], share: 1, diskOf: 'queue' },
  { name: 'clock', ...PRIVATE, servers: 2, faults: ['clock', 'emqx', ...SCENES], share: 1 },
  { name: 'postgres', queue: 'own-postgres', store: 'own-postgres', servers: 1, faults: ALL, share: 2 },
  { name: 'several', ...PRIVATE, servers: 3, faults: ALL, share: 3 },
  {
    name: 'several-postgres',
    queue: 'own-postgres',
    store: 'own-postgres',
    servers: 2,
    faults: ['server', 'emqx', 'store', ...SCENES],
    share: 2,
  },
  {
    name: 'cluster',
    queue: 'own-redis-cluster',
    store: 'own-postgres',
    servers: 3,
    faults: ['server', 'emqx', 'queue', ...SCENES],
    share: 2,
  },
  { name: 'inbox', ...PRIVATE, servers: 2, faults: ALL, share: 2, policy: { deliverTo: 'inbox' } },
  { name: 'pubsub', ...PRIVATE, servers: 2, faults: ALL, share: 2, policy: { mode: 'pubsub', deliverTo: 'inbox' } },
  { name: 'resume', ...PRIVATE, servers: 2, faults: ['emqx', 'resume'], share: 1, kinds: PERSISTENT },
  { name: 'drops', ...PRIVATE, servers: 2, faults: ['drops', ...SCENES], share: 1, manners: STAYING, perSecond: 200 },
  { name: 'hostile', ...HOSTILE, policy: LIMITED },
  { name: 'hostile-inbox', ...HOSTILE, policy: { ...LIMITED, deliverTo: 'inbox' } },
  { name: 'still', ...PRIVATE, servers: 2, faults: ['still', ...SCENES], share: 1, kinds: INDEBTED, manners: STAYING, perSecond: 150 },
  {
    name: 'still-postgres',
    queue: 'own-postgres',
    store: 'own-postgres',
    servers: 2,
    faults: ['still', ...SCENES],
    share: 1,
    kinds: INDEBTED,
    manners: STAYING,
    perSecond: 150,
  },
  {
    name: 'purge',
    ...PRIVATE,
    servers: 2,
    faults: ['purge'],
    share: 0.5,
    kinds: ['exact'],
    isBusy: true,
    isPurgeQuick: true,
    perSecond: 30,
    messages: 1_500,
    policy: { mode: 'pubsub', deliverTo: 'inbox' },
  },
];

/** By hand: a store that runs already (npm run services). */
export function onStore(store: StoreName): Configuration {
  return { name: store, queue: 'own-redis', store, servers: 2, faults: ALL, share: 1 };
}
