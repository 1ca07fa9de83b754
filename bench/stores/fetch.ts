import type { Store } from '../../src/stores/store';
import { message } from '../../test/support/messages';
import { batch, BATCH } from './rates';

const MANY = Number(process.env['BENCH_MANY'] ?? 100_000);
const TOPIC = 'fetched';

/** The median time (ms) of a fetch of 100 messages from a topic that has 1,000. */
async function fetchTime(store: Store): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < 15; i++) {
    const start = performance.now();
    const page = await store.listMessages({ topic: TOPIC, after: '', limit: 100, now: 0 });
    if (page.length !== 100) throw new Error(`${page.length} of 100`);
    times.push(performance.now() - start);
  }
  return times.sort((a, b) => a - b)[7]!;
}

/** The time of a fetch with 1,000 messages stored, and with BENCH_MANY (100,000). */
export async function fetchTimes(store: Store): Promise<{ few: number; many: number; stored: number }> {
  const payload = Buffer.alloc(200, 'x');
  for (let i = 0; i < 4; i++)
    await store.saveMessages(Array.from({ length: 250 }, () => message({ topic: TOPIC, payload, expiresAt: 9e12 })));
  const few = await fetchTime(store);
  let stored = 1_000;
  for (; stored < MANY; stored += BATCH) await store.saveMessages(batch(100));
  return { few, many: await fetchTime(store), stored };
}
