/**
 * Measures what maintenance costs each minute with few messages stored and with many (BENCH_MANY, a million by default): a purge
 * that finds nothing expired, one that removes 1,000, a trim of a topic that has 50 too many, and a round of what all
 * consumers have read (pubsub mode, a consumer that has read nothing in each topic). Both sizes in one run; only the
 * ratios mean something.
 */
import { ReadPurger } from '../src/mailbox/positions/read-purger';
import { Positions } from '../src/mailbox/positions/positions';
import type { Store } from '../src/stores/store';
import { message } from '../test/support/messages';
import { policy } from '../test/support/policies';
import { BENCH_STORES, withEmptyStore, type BenchStore } from './servers';

const FEW = 10_000;
const MANY = Number(process.env['BENCH_MANY'] ?? 1_000_000);
const TOPICS = 1_000;
const BATCH = 256;
const CHUNK = 1_000;
const NOW = 2e12;
const PAYLOAD = Buffer.alloc(100, 'x');

async function fill(store: Store, from: number, to: number): Promise<void> {
  for (let i = from; i < to; i += BATCH) {
    const own = Array.from({ length: Math.min(BATCH, to - i) }, (_, k) =>
      message({ topic: `bench/${(i + k) % TOPICS}`, payload: PAYLOAD, expiresAt: 9e12 }),
    );
    await store.saveMessages(own);
  }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

async function median(count: number, work: () => Promise<number>): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < count; i++) times.push(await work());
  return times.sort((a, b) => a - b)[Math.floor(count / 2)] ?? NaN;
}

/** The time of each job (ms) with the messages that are stored now. */
async function costs(store: Store): Promise<number[]> {
  const idle = await median(5, () => timed(() => store.purgeExpired(NOW, CHUNK)));
  const expired = await median(3, async () => {
    await store.saveMessages(Array.from({ length: CHUNK }, (_, i) => message({ topic: `bench/${i}`, payload: PAYLOAD, expiresAt: 1 })));
    return timed(() => store.purgeExpired(NOW, CHUNK));
  });
  const trimmed = await median(3, async () => {
    await store.saveMessages(Array.from({ length: 150 }, () => message({ topic: 'trimmed', payload: PAYLOAD, expiresAt: 9e12 })));
    return timed(() => store.trimTopic('trimmed', 100));
  });
  const policies = [policy({ filter: 'bench/#', mode: 'pubsub' })];
  const sequence = { progress: async () => new Map() };
  const read = await median(3, () =>
    timed(() => new ReadPurger({ store, sequence, lanes: { messages: [], clients: [] }, policies, now: () => NOW }).run()),
  );
  return [idle, expired, trimmed, read];
}

async function bench(name: BenchStore, store: Store): Promise<void> {
  const positions = new Positions({
    store,
    state: { raise: async () => undefined },
    policies: [policy({ mode: 'pubsub' })],
    now: () => NOW,
  });
  const own = positions.open('consumer');
  for (let i = 0; i < TOPICS; i++) await own.subscribed(`bench/${i}`, 0);
  await own.save(1);
  await fill(store, 0, FEW);
  const few = await costs(store);
  await fill(store, FEW, MANY);
  const many = await costs(store);
  const cells = few.map((ms, i) => `${ms.toFixed(1)} → ${many[i]?.toFixed(1)} (${((many[i] ?? NaN) / ms).toFixed(1)}×)`);
  console.log(`| ${[name, ...cells].join(' | ')} |`);
}

async function main(): Promise<void> {
  console.log(
    `ms, with ${FEW} → ${MANY} messages stored\n| store | nothing expired | 1,000 expired | trim | read by all |\n| --- | --- | --- | --- | --- |`,
  );
  const wanted = process.argv.slice(2);
  for (const name of BENCH_STORES) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    if (!(await withEmptyStore(name, (store) => bench(name, store))))
      console.log(`| ${name} | not there: npm run services -- ${name} | | | |`);
  }
}

void main();
