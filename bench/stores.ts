/**
 * Messages saved per second in batches of 256, for each store whose server runs, beside the bulk insert of the plain
 * client library into a table of the same columns without any index or promise: the price of idempotence, order and
 * tombstones. Both in turns in one run. And the time of a fetch of 100 with many messages stored, beside the same fetch
 * with few.
 */
import type { Store } from '../src/stores/store';
import type { Message } from '../src/mqtt/message';
import { message } from '../test/support/messages';
import type { StoreName } from '../test/support/empty-store';
import { PLAIN, type Plain } from './plain';
import { withEmptyStore } from './servers';

const BATCH = 256;
const TOPICS = 100;
const TURNS = 6;
const TURN_MS = 500;
const PAYLOAD = Buffer.alloc(200, 'x');
const MANY = Number(process.env['BENCH_MANY'] ?? 100_000);

let made = 0;
const batch = (): Message[] =>
  Array.from({ length: BATCH }, () => message({ topic: `bench/${made++ % TOPICS}`, payload: PAYLOAD, expiresAt: 9e12 }));

/** @returns rows and seconds of one turn. */
async function turn(insert: (messages: readonly Message[]) => Promise<unknown>): Promise<{ rows: number; seconds: number }> {
  const start = performance.now();
  let rows = 0;
  while (performance.now() - start < TURN_MS) {
    await insert(batch());
    rows += BATCH;
  }
  return { rows, seconds: (performance.now() - start) / 1_000 };
}

/** Measures both in turns, so that a slow moment of the machine affects both. */
async function insertRates(store: Store, plain: Plain): Promise<{ ours: number; plain: number }> {
  const totals = { ours: { rows: 0, seconds: 0 }, plain: { rows: 0, seconds: 0 } };
  await store.saveMessages(batch());
  await plain.insert(batch());
  for (let i = 0; i < TURNS; i++) {
    for (const [name, insert] of [
      ['ours', (messages: readonly Message[]) => store.saveMessages(messages)] as const,
      ['plain', (messages: readonly Message[]) => plain.insert(messages)] as const,
    ]) {
      const { rows, seconds } = await turn(insert);
      totals[name].rows += rows;
      totals[name].seconds += seconds;
    }
  }
  return { ours: totals.ours.rows / totals.ours.seconds, plain: totals.plain.rows / totals.plain.seconds };
}

/** The median time (ms) of a fetch of 100 messages from a topic that has 1,000. */
async function fetchTime(store: Store): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < 15; i++) {
    const start = performance.now();
    const page = await store.listMessages({ topic: 'fetched', after: '', limit: 100, now: 0 });
    if (page.length !== 100) throw new Error(`${page.length} of 100`);
    times.push(performance.now() - start);
  }
  return times.sort((a, b) => a - b)[7]!;
}

async function fetchRatio(store: Store): Promise<{ few: number; many: number; stored: number }> {
  for (let i = 0; i < 4; i++)
    await store.saveMessages(Array.from({ length: 250 }, () => message({ topic: 'fetched', payload: PAYLOAD, expiresAt: 9e12 })));
  const few = await fetchTime(store);
  let stored = 1_000;
  for (; stored < MANY; stored += BATCH) await store.saveMessages(batch());
  return { few, many: await fetchTime(store), stored };
}

async function main(): Promise<void> {
  console.log(
    '| store | saved/s | plain insert/s | ratio | fetch of 100, ms: 1,000 stored | many stored | ratio |\n| --- | --- | --- | --- | --- | --- | --- |',
  );
  const wanted = process.argv.slice(2);
  for (const [name, makePlain] of Object.entries(PLAIN)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    const isThere = await withEmptyStore(name as StoreName, async (store, url) => {
      const { few, many, stored } = await fetchRatio(store);
      const plain = await makePlain(url);
      const rates = await insertRates(store, plain);
      await plain.close();
      const cells = [
        name,
        rates.ours.toFixed(0),
        rates.plain.toFixed(0),
        (rates.ours / rates.plain).toFixed(2),
        few.toFixed(1),
        `${many.toFixed(1)} (${stored})`,
        (many / few).toFixed(2),
      ];
      console.log(`| ${cells.join(' | ')} |`);
    });
    if (!isThere) console.log(`| ${name} | not there: npm run services -- ${name} | | | | | |`);
  }
}

void main();
