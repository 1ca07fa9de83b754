import { readFile } from 'node:fs/promises';
import { Gauge, type Registry } from 'prom-client';
import { within } from '../base/deadline';
import type { ReadinessCheck } from '../http/services';
import type { Store } from '../stores/store';
import { cached } from './cached';
import { REFUSED_TOKENS } from './status';

/**
 * The values that are read at each scrape. If a read fails, its gauge is NaN or left out, so that the other metrics are
 * still shown while the queue is away.
 */
export interface GaugeSources {
  readonly lanes: () => Promise<
    readonly { readonly name: string; readonly waiting: number; readonly active: number; readonly delayed: number }[]
  >;
  readonly deadLetters: () => Promise<number>;
  /** Events that wait in memory for the queue, and their bytes. */
  readonly waiting: () => { readonly items: number; readonly bytes: number };
  /**
   * When this process began to work on the batch that each lane has in hand (ms); null if the lane has no batch in
   * hand.
   */
  readonly working: () => readonly { readonly name: string; readonly since: number | null }[];
}

const PREFIX = 'emqx_offline_';
/** How long a gauge waits for its value (ms). Prometheus itself waits 10 s by default. */
const TIMEOUT_MS = 2_000;
/** How long the gauge of dependencies waits (ms). This is longer than a health check, which answers within 3 s. */
const HEALTH_TIMEOUT_MS = 3_500;
/** How long the result of health checks is kept (ms). It is short because health checks are cheap. */
const HEALTH_AGE_MS = 5_000;
/** How long a count of stored messages is kept (ms). Counting is slower, because it may read an index. */
const BACKLOG_AGE_MS = 15_000;

interface Description {
  readonly name: string;
  readonly help: string;
  readonly labelNames?: readonly string[];
  readonly timeoutMs?: number;
}

function registerGauge(registry: Registry, description: Description, collect: (gauge: Gauge) => Promise<void>): void {
  const { name, help, labelNames = [], timeoutMs = TIMEOUT_MS } = description;
  const own: Gauge = new Gauge({
    ...{ name: `${PREFIX}${name}`, help, labelNames, registers: [registry] },
    async collect() {
      own.reset();
      // An unknown number is NaN, because 0 would look like a value.
      await within(timeoutMs, collect(own), () => new Error('late')).catch(() => void (labelNames.length === 0 && own.set(NaN)));
    },
  });
}

/** Registers gauges of the queue, of the batches that this process works on, and of its memory. */
export function registerGauges(registry: Registry, sources: GaugeSources, now: () => number = Date.now): void {
  const gauge = (name: string, help: string, labelNames: string[], collect: (gauge: Gauge) => Promise<void>): void =>
    registerGauge(registry, { name, help, labelNames }, collect);
  gauge('lane_jobs', 'Jobs in the queue, by lane and state; a job has up to 256 events', ['lane', 'state'], async (own) => {
    for (const { name, waiting, active, delayed } of await sources.lanes()) {
      for (const [state, count] of Object.entries({ waiting, active, delayed })) own.set({ lane: name, state }, count);
    }
  });
  gauge(
    'lane_batch_age_seconds',
    'How long this process has been working on the batch that a lane has in hand; 0 when it has none. A batch stays in hand while the store, the queue or EMQX is away',
    ['lane'],
    async (own) => {
      for (const { name, since } of sources.working()) own.set({ lane: name }, since === null ? 0 : Math.max(0, now() - since) / 1_000);
    },
  );
  gauge('dead_letters', 'Dead letters that are kept', [], async (own) => own.set(await sources.deadLetters()));
  gauge('ingest_waiting_events', 'Events that wait in memory for the queue', [], async (own) => own.set(sources.waiting().items));
  gauge('ingest_waiting_bytes', 'Estimated size of the events that wait in memory for the queue', [], async (own) =>
    own.set(sources.waiting().bytes),
  );
  gauge(
    'anonymous_memory_bytes',
    'Memory of the process that the kernel cannot take back (RssAnon, Linux only). process_resident_memory_bytes also has pages of the embedded database',
    [],
    async (own) => own.set(await anonymousMemory()),
  );
}

/**
 * The time of the oldest stored message (ms), which several readers share: the gauge, and the statistics that each open
 * console reads every 2 s. The store is asked at most every 15 s, and less often if it answers slowly; DynamoDB reads
 * many entries for one answer. The answer that nothing is stored is not kept, so that the first message shows at once.
 */
export const keptOldest = (store: Pick<Store, 'oldestMessageAt'>, now: () => number = Date.now): (() => Promise<number | null>) =>
  cached(() => store.oldestMessageAt(now()), { ageMs: BACKLOG_AGE_MS, now, isKept: (at) => at !== null });

/**
 * Registers gauges of the stored messages. The messages are counted at most every 15 s, and less often if the store
 * answers slowly.
 * @param backlog `oldestMessageAt` is that of keptOldest().
 */
export function registerBacklogGauges(
  registry: Registry,
  backlog: { readonly countMessages: () => Promise<number>; readonly oldestMessageAt: () => Promise<number | null> },
  now: () => number = Date.now,
): void {
  const count = cached(() => backlog.countMessages(), { ageMs: BACKLOG_AGE_MS, now });
  registerGauge(
    registry,
    { name: 'stored_messages', help: 'Messages in the store; an estimate where the store cannot count cheaply' },
    async (own) => own.set(await count()),
  );
  const help = 'Age of the oldest message in the store; 0 when nothing is stored. An estimate: see docs/metrics.md';
  registerGauge(registry, { name: 'oldest_message_age_seconds', help }, async (own) => {
    const at = await backlog.oldestMessageAt();
    own.set(at === null ? 0 : Math.max(0, now() - at) / 1_000);
  });
}

/** Registers a gauge that shows the checks of /readyz. */
export function registerDependencyGauge(
  registry: Registry,
  readiness: () => Promise<readonly ReadinessCheck[]>,
  now: () => number = Date.now,
): void {
  const checks = cached(readiness, { ageMs: HEALTH_AGE_MS, now });
  const help = '1 when the dependency works, 0 when it does not: store, queue, emqx, and each history; the checks of /readyz';
  registerGauge(registry, { name: 'dependency_up', help, labelNames: ['dependency'], timeoutMs: HEALTH_TIMEOUT_MS }, async (own) => {
    for (const { name, ok } of await checks()) if (name !== REFUSED_TOKENS) own.set({ dependency: name }, ok ? 1 : 0);
  });
}

/** The anonymous memory of this process in bytes; NaN if the kernel does not show it. */
async function anonymousMemory(): Promise<number> {
  const status = await readFile('/proc/self/status', 'utf8');
  return Number(/^RssAnon:\s+(\d+) kB/m.exec(status)?.[1] ?? NaN) * 1_024;
}
