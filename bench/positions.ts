/**
 * Read positions (pubsub mode) on a real store: one topic, one consumer, BENCH_MESSAGES (100,000 by default). How fast messages are stored, as a measure of the
 * machine; how many acknowledgements a second its positions take in passes of 250, and how much they write for it; how fast the purge removes what was read.
 * All in one run; only the ratios mean something.
 */
import { Positions } from '../src/mailbox/positions/positions';
import { ReadPurger } from '../src/mailbox/positions/read-purger';
import type { Position, Store } from '../src/stores/store';
import { EMPTY_STORES, type StoreName } from '../test/support/empty-store';
import { message } from '../test/support/messages';
import { policy } from '../test/support/policies';
import { withEmptyStore } from './servers';

const COUNT = Number(process.env['BENCH_MESSAGES'] ?? 100_000);
const BATCH = 250;
const TOPIC = 'bench/1';
const POLICIES = [policy({ mode: 'pubsub' })];
const PAYLOAD = Buffer.alloc(100, 'x');

async function timed(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1_000;
}

async function bench(name: StoreName, store: Store): Promise<void> {
  const published = Date.now() - 60_000;
  const ids: string[] = [];
  const stored = await timed(async () => {
    for (let i = 0; i < COUNT; i += BATCH) {
      const own = Array.from({ length: BATCH }, () =>
        message({ topic: TOPIC, payload: PAYLOAD, publishReceivedAt: published, expiresAt: 9e12 }),
      );
      await store.saveMessages(own);
      ids.push(...own.map(({ id }) => id));
    }
  });

  const written = { bytes: 0, largest: 0, rows: 0 };
  const putPositions = (positions: readonly Position[]): Promise<void> => {
    const bytes = JSON.stringify(positions).length;
    Object.assign(written, { bytes: written.bytes + bytes, largest: Math.max(written.largest, bytes), rows: written.rows + 1 });
    return store.putPositions(positions);
  };
  const counted = { getPositions: store.getPositions.bind(store), listRefs: store.listRefs.bind(store), putPositions };
  const positions = new Positions({ store: counted, state: { raise: async () => undefined }, policies: POLICIES, now: Date.now });
  const read = await timed(async () => {
    for (let i = 0; i < COUNT; i += BATCH) {
      const own = positions.open('consumer');
      await own.read(ids.slice(i, i + BATCH).map((id) => ({ topic: TOPIC, id, filters: [] })));
      await own.save(own.version + 1);
    }
  });

  const sequence = {
    progress: async (lanes: readonly string[]) => new Map(lanes.map((lane) => [lane, { tail: 0, oldest: null, waiting: null }])),
  };
  const purger = new ReadPurger({ store, sequence, lanes: { messages: ['m'], clients: ['c'] }, policies: POLICIES, now: Date.now });
  let removed = 0;
  const purged = await timed(async () => {
    for (let more = true; more;) {
      const run = await purger.run();
      removed += run.removed;
      ({ more } = run);
    }
  });
  const rate = (count: number, seconds: number) => Math.round(count / seconds);
  console.log(
    `| ${[name, rate(COUNT, stored), rate(COUNT, read), Math.round(written.bytes / COUNT), written.largest, rate(removed, purged), COUNT - removed].join(' | ')} |`,
  );
}

async function main(): Promise<void> {
  console.log(
    '| store | stored/s | acknowledged/s | bytes written for each | largest row | removed/s | left |\n| --- | --- | --- | --- | --- | --- | --- |',
  );
  const wanted = process.argv.slice(2);
  for (const name of Object.keys(EMPTY_STORES) as StoreName[]) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    if (!(await withEmptyStore(name, (store) => bench(name, store))))
      console.log(`| ${name} | not there: npm run services -- ${name} | | | | | |`);
  }
}

void main();
