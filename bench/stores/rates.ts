import type { Message } from '../../src/mqtt/message';
import { message } from '../../test/support/messages';

/** Messages in a batch: as many as a job of a lane has at most. */
export const BATCH = 256;
const TURNS = 6;
const TURN_MS = 500;
const PAYLOAD = Buffer.alloc(200, 'x');
const WEEK_MS = 7 * 24 * 60 * 60 * 1_000;

let made = 0;

/** The next messages, in turn of all topics. They expire after a week unless the caller says otherwise. */
export function batch(topics: number, expiresAt = Date.now() + WEEK_MS): Message[] {
  return Array.from({ length: BATCH }, () =>
    message({ topic: `bench/${topics}/${made++ % topics}`, payload: PAYLOAD, publishReceivedAt: Date.now(), expiresAt }),
  );
}

/** Work whose rate is measured. `prepare` is not timed; `work` gets what it made. */
export interface Contestant<T> {
  readonly prepare: () => Promise<T> | T;
  readonly work: (prepared: T) => Promise<unknown>;
}

/** Rows per second of each contestant. They work in turns, so that a slow moment of the machine affects all of them. */
export async function compare<Name extends string, T>(contestants: Readonly<Record<Name, Contestant<T>>>): Promise<Record<Name, number>> {
  const names = Object.keys(contestants) as Name[];
  const totals = Object.fromEntries(names.map((name) => [name, { rows: 0, ms: 0 }])) as Record<Name, { rows: number; ms: number }>;
  for (const name of names) await contestants[name].work(await contestants[name].prepare());
  for (let turn = 0; turn < TURNS; turn++) {
    for (const name of names) {
      const total = totals[name];
      for (let ms = 0; ms < TURN_MS; total.rows += BATCH) {
        const prepared = await contestants[name].prepare();
        const start = performance.now();
        await contestants[name].work(prepared);
        const took = performance.now() - start;
        ms += took;
        total.ms += took;
      }
    }
  }
  return Object.fromEntries(names.map((name) => [name, (totals[name].rows / totals[name].ms) * 1_000])) as Record<Name, number>;
}
