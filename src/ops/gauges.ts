import { readFile } from 'node:fs/promises';
import { Gauge, type Registry } from 'prom-client';
import { within } from '../base/deadline';

/** What is asked for at each scrape. A rejection makes the gauge NaN, or leaves it out: a queue that is away must not take the other metrics with it. */
export interface GaugeSources {
  readonly lanes: () => Promise<
    readonly { readonly name: string; readonly waiting: number; readonly active: number; readonly delayed: number }[]
  >;
  readonly deadLetters: () => Promise<number>;
  /** Events that wait in memory for the queue, and their bytes. */
  readonly waiting: () => { readonly items: number; readonly bytes: number };
}

const PREFIX = 'emqx_offline_';
/** A scrape waits 10 s by default. */
const TIMEOUT_MS = 2_000;

/** The backlog. */
export function registerGauges(registry: Registry, sources: GaugeSources): void {
  const gauge = (name: string, help: string, labelNames: string[], collect: (gauge: Gauge) => Promise<void>): void => {
    const own: Gauge = new Gauge({
      ...{ name: `${PREFIX}${name}`, help, labelNames, registers: [registry] },
      async collect() {
        own.reset();
        // What can't be known must not look like nothing.
        await within(TIMEOUT_MS, collect(own), () => new Error('late')).catch(() => void (labelNames.length === 0 && own.set(NaN)));
      },
    });
  };
  gauge('lane_jobs', 'Jobs in the queue, by lane and state; a job has up to 256 events', ['lane', 'state'], async (own) => {
    for (const { name, waiting, active, delayed } of await sources.lanes()) {
      for (const [state, count] of Object.entries({ waiting, active, delayed })) own.set({ lane: name, state }, count);
    }
  });
  gauge('dead_letters', 'Dead letters that are kept', [], async (own) => own.set(await sources.deadLetters()));
  gauge('ingest_waiting_events', 'Events that wait in memory for the queue', [], async (own) => own.set(sources.waiting().items));
  gauge('ingest_waiting_bytes', 'About what these take', [], async (own) => own.set(sources.waiting().bytes));
  gauge(
    'anonymous_memory_bytes',
    'Memory that the kernel cannot take back, on Linux: process_resident_memory_bytes has pages of the embedded database, too',
    [],
    async (own) => own.set(await anonymousMemory()),
  );
}

/** bytes; NaN where the kernel does not tell. */
async function anonymousMemory(): Promise<number> {
  const status = await readFile('/proc/self/status', 'utf8');
  return Number(/^RssAnon:\s+(\d+) kB/m.exec(status)?.[1] ?? NaN) * 1_024;
}
