import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Broker } from '../standin/broker';
import type { BrokerMessage } from '../standin/message';
import type { Outage, Rest } from '../standin/rest';
import type { FaultyProxy, LinkFault } from '../support/faulty-proxy';
import type { Side } from './causes';
import type { OwnDatabase } from './databases';
import type { Random } from './random';
import type { SupervisedServer } from './servers';
import { dropSilently } from './drops';
import type { Stills } from './stills';

/** What the faults happen to. */
export interface Targets {
  readonly servers: readonly SupervisedServer[];
  readonly rest: Rest;
  readonly queue: OwnDatabase | null;
  readonly store: OwnDatabase | null;
  readonly queueLink: FaultyProxy | null;
  readonly storeLink: FaultyProxy | null;
  /** Where the small disk is mounted. */
  readonly disk: string | null;
  readonly broker: Broker;
  /** Hears of each. */
  readonly droppedSilently: (message: BrokerMessage) => void;
  /** null: one server only, nobody could take over. */
  readonly stills: Stills | null;
}

/** Faults of one group happen one after the other; those of different groups at the same time. */
export type FaultGroup = 'server' | 'emqx' | 'queue' | 'store' | 'disk' | 'clock' | 'still' | 'drops' | TrafficGroup;

/**
 * What subscribers do, no fault that happens to anybody; a round in which it did not come about has tested nothing, too. `backlog`: more than a window waits
 * for a client that comes. `resume`: EMQX holds messages for a session whose client subscribes at once. `hostile`: clients with hostile names come.
 * `purge`: what everybody has read is removed while new readers come.
 */
export const TRAFFIC_GROUPS = ['backlog', 'resume', 'hostile', 'purge'] as const;
export type TrafficGroup = (typeof TRAFFIC_GROUPS)[number];
export const isOfTraffic = (group: FaultGroup): group is TrafficGroup => (TRAFFIC_GROUPS as readonly FaultGroup[]).includes(group);

export interface Fault {
  readonly kind: string;
  readonly side: Side;
  /** false: there was nothing that it could happen to, and it counts as none. */
  readonly happen: (random: Random) => Promise<void | boolean>;
}

export function faultsOf(group: FaultGroup, targets: Targets): Fault[] {
  switch (group) {
    case 'server':
      return serverFaults(targets);
    case 'emqx':
      return (['hang', 'lose-answer', 500, 503] as const).map((outage) => emqxFault(targets.rest, outage));
    case 'queue':
      return databaseFaults('queue', targets.queue, targets.queueLink);
    case 'store':
      return databaseFaults('store', targets.store, targets.storeLink);
    case 'disk':
      return [fullDisk(targets)];
    case 'clock':
      return [clockJump(targets.servers)];
    case 'still':
      return [standStill(targets)];
    case 'drops':
      return [silentDrops(targets)];
    case 'backlog':
    case 'resume':
    case 'hostile':
    case 'purge':
      // The traffic sees to these.
      return [];
  }
}

function serverFaults(targets: Targets): Fault[] {
  const { servers } = targets;
  const one = (kind: string, happen: (server: SupervisedServer, random: Random) => Promise<void>): Fault => ({
    ...{ kind, side: 'server' },
    happen: (random) => happen(random.pick(servers), random),
  });
  const faults = [
    one('kill -9', (server) => server.restart('SIGKILL')),
    one('kill -9', (server) => server.restart('SIGKILL')),
    one('SIGTERM', (server) => server.restart('SIGTERM')),
    // Longer than a job's lock: somebody else takes over what it has in hand.
    one('freeze', (server, random) => server.freeze(random.between(200, 14_000))),
  ];
  if (servers.length === 1) return faults;
  return [...faults, standStill(targets), { kind: 'rolling restart', side: 'server', happen: () => rollingRestart(servers) }];
}

/** Long enough for the others to take over what it has in hand, and it comes back to work that is not its own any more. */
function standStill({ servers, stills }: Targets): Fault {
  return {
    ...{ kind: 'stands still for 14 s', side: 'server' },
    happen: async (random) => stills?.happen(random.pick(servers), random.between(14_000, 17_000)),
  };
}

function silentDrops({ broker, droppedSilently }: Targets): Fault {
  return {
    ...{ kind: 'silent drops', side: 'client' },
    happen: (random) => dropSilently(broker, random, droppedSilently),
  };
}

async function rollingRestart(servers: readonly SupervisedServer[]): Promise<void> {
  for (const server of servers) {
    await server.restart('SIGTERM');
    await sleep(1_500);
  }
}

function emqxFault(rest: Rest, outage: Exclude<Outage, null>): Fault {
  return {
    ...{ kind: `EMQX API ${outage}`, side: 'emqx' },
    async happen(random) {
      rest.outage = outage;
      // A hang must be longer than the timeout of a request to be more than a delay.
      await sleep(outage === 'hang' ? random.between(1_000, 15_000) : random.between(20, 4_000));
      rest.outage = null;
    },
  };
}

function databaseFaults(name: 'queue' | 'store', database: OwnDatabase | null, link: FaultyProxy | null): Fault[] {
  const killed: Fault[] =
    database === null ? [] : [{ kind: `${name} killed`, side: 'database', happen: (random) => database.crash(random.between(0, 3_000)) }];
  // As a server's: as often as two others.
  const faults = [...killed, ...killed];
  if (link === null) return faults;
  const linkFault = (kind: string, faultOf: (random: Random) => LinkFault, longest: number): Fault => ({
    ...{ kind: `${name} ${kind}`, side: 'database' },
    async happen(random) {
      link.begin(faultOf(random));
      await sleep(random.between(100, longest));
      link.end();
    },
  });
  return [
    ...faults,
    linkFault('cut off', () => 'cut', 5_000),
    linkFault('stalled', () => 'stalled', 14_000),
    linkFault('half open', () => 'half-open', 1_000),
    linkFault('slow', (random) => ({ delayMs: random.between(20, 400) }), 6_000),
  ];
}

function fullDisk({ disk, queue, store }: Targets): Fault {
  return {
    ...{ kind: 'full disk', side: 'database' },
    async happen(random) {
      const ballast = join(disk ?? '', 'ballast');
      fill(ballast);
      await sleep(random.between(500, 4_000));
      rmSync(ballast);
      await Promise.all([queue?.revive(), store?.revive()]);
      // Time to recover before the next one.
      await sleep(10_000);
    },
  };
}

/** Takes all there is, to the last byte. */
function fill(path: string): void {
  const file = openSync(path, 'w');
  try {
    for (let size = 1024 * 1024; size >= 1;) {
      try {
        if (writeSync(file, Buffer.alloc(size)) < size) size >>= 1;
      } catch {
        size >>= 1;
      }
    }
  } finally {
    closeSync(file);
  }
}

function clockJump(servers: readonly SupervisedServer[]): Fault {
  return {
    ...{ kind: 'clock jump', side: 'server' },
    async happen(random) {
      const server = random.pick(servers);
      server.setClock(Math.round(random.between(5, 120)) * (random.chance(0.5) ? 1 : -1));
      await sleep(random.between(2_000, 15_000));
      server.setClock(0);
    },
  };
}
