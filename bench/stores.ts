/**
 * What each store costs beside the plain client library of its database, in batches of 256 messages, in turns in one run:
 * saving beside the bulk insert into a table of the same columns without any index or promise; removing, with tombstones,
 * beside the bulk delete by key; saving to 100,000 topics beside 100; purging what has expired beside saving; the whole
 * way from HTTP through the queue into the store beside the plain insert; and a fetch of 100 with many messages stored
 * beside the same fetch with few. `npm run bench:stores -- postgres redis` measures only these stores,
 * PARTS=saved,removed only these columns.
 */
import type { Store } from '../src/stores/store';
import { Trimmer } from '../src/writes/trimmer';
import { policy } from '../test/support/policies';
import { fetchTimes } from './stores/fetch';
import { PLAIN, type Plain } from './stores/plain';
import { batch, BATCH, compare } from './stores/rates';
import { wholeWay } from './stores/whole-way';
import { BENCH_STORES, withEmptyStore } from './servers';

const FEW_TOPICS = 100;
const MANY_TOPICS = 100_000;
const PURGED_BATCHES = 20;
const PURGED_AT_ONCE = 1_000;
const TOMBSTONE_MS = 60_000;

const savings = (store: Store, plain: Plain) =>
  compare({
    ours: { prepare: () => batch(FEW_TOPICS), work: (messages) => store.saveMessages(messages) },
    plain: { prepare: () => batch(FEW_TOPICS), work: (messages) => plain.insert(messages) },
  });

const removals = (store: Store, plain: Plain) =>
  compare({
    ours: {
      prepare: async () => {
        const messages = batch(FEW_TOPICS);
        await store.saveMessages(messages);
        return messages;
      },
      work: (messages) => store.removeMessages(messages, Date.now() + TOMBSTONE_MS),
    },
    plain: {
      prepare: async () => {
        const messages = batch(FEW_TOPICS);
        await plain.insertKeyed(messages);
        return messages;
      },
      work: (messages) => plain.remove(messages.map(({ id }) => id)),
    },
  });

/** With the checks for maxStored, as the writer has them. */
async function topics(store: Store): Promise<{ few: number; many: number }> {
  const metrics = { messagesRemoved: { inc: () => undefined }, messagesTrimmed: { inc: () => undefined } } as never;
  const trimmer = new Trimmer({ store, policies: [policy({ filter: '#' })], metrics });
  const save = (count: number) => ({
    prepare: () => batch(count),
    work: async (messages: ReturnType<typeof batch>) => {
      await store.saveMessages(messages);
      trimmer.saved(messages.map(({ topic }) => topic));
    },
  });
  const rates = await compare({ few: save(FEW_TOPICS), many: save(MANY_TOPICS) });
  await trimmer.stop();
  return rates;
}

/** Messages that are purged per second, in steps as maintenance has them, and the rate at which they were saved. */
async function purgeRates(store: Store): Promise<{ purged: number; saved: number }> {
  const now = Date.now();
  const before = performance.now();
  for (let i = 0; i < PURGED_BATCHES; i++) await store.saveMessages(batch(FEW_TOPICS, now + i));
  const start = performance.now();
  let purged = 0;
  for (let more = true; more;) {
    const step = await store.purgeExpired(now + PURGED_BATCHES, PURGED_AT_ONCE);
    purged += step.removed;
    more = step.more;
  }
  if (purged !== PURGED_BATCHES * BATCH) throw new Error(`${purged} purged of ${PURGED_BATCHES * BATCH}`);
  return { purged: (purged / (performance.now() - start)) * 1_000, saved: (purged / (start - before)) * 1_000 };
}

const rates = (ours: number, theirs: number) => [ours.toFixed(0), theirs.toFixed(0), (ours / theirs).toFixed(2)];

interface Measure {
  readonly titles: readonly string[];
  readonly cells: (store: Store, plain: Plain, url: string) => Promise<string[]>;
}

/** Each measures something else. PARTS=saved,removed runs only these. */
const MEASURES: Readonly<Record<string, Measure>> = {
  fetched: {
    titles: ['fetch of 100, ms: 1,000 stored → many'],
    cells: async (store) => {
      const { few, many, stored } = await fetchTimes(store);
      return [`${few.toFixed(1)} → ${many.toFixed(1)} (${stored})`];
    },
  },
  saved: {
    titles: ['saved/s', 'plain insert/s', 'ratio'],
    cells: async (store, plain) => {
      const { ours, plain: theirs } = await savings(store, plain);
      return rates(ours, theirs);
    },
  },
  topics: {
    titles: ['saved/s to 100,000 topics', 'to 100', 'ratio'],
    cells: async (store) => {
      const { many, few } = await topics(store);
      return rates(many, few);
    },
  },
  removed: {
    titles: ['removed/s', 'plain delete/s', 'ratio'],
    cells: async (store, plain) => {
      const { ours, plain: theirs } = await removals(store, plain);
      return rates(ours, theirs);
    },
  },
  purged: {
    titles: ['purged/s', 'saved/s before', 'ratio'],
    cells: async (store) => {
      const { purged, saved } = await purgeRates(store);
      return rates(purged, saved);
    },
  },
  whole: {
    titles: ['whole way, stored/s', 'plain insert/s', 'ratio'],
    cells: async (_store, plain, url) => {
      const inserted = await compare({ plain: { prepare: () => batch(FEW_TOPICS), work: (messages) => plain.insert(messages) } });
      return rates(await wholeWay(url), inserted.plain);
    },
  },
};

async function main(wanted: readonly string[]): Promise<void> {
  const parts = (process.env['PARTS'] ?? Object.keys(MEASURES).join()).split(',');
  const measures = parts.map((part) => {
    const measure = MEASURES[part];
    if (measure === undefined) throw new Error(`PARTS: ${part} is none of ${Object.keys(MEASURES).join(', ')}`);
    return measure;
  });
  const titles = ['store', ...measures.flatMap((measure) => measure.titles)];
  console.log(`| ${titles.join(' | ')} |\n|${titles.map(() => ' --- |').join('')}`);
  for (const name of BENCH_STORES) {
    const makePlain = PLAIN[name];
    if (makePlain === undefined || (wanted.length > 0 && !wanted.includes(name))) continue;
    const isThere = await withEmptyStore(name, async (store, url) => {
      const plain = await makePlain(url);
      const cells: string[] = [name];
      for (const measure of measures) cells.push(...(await measure.cells(store, plain, url)));
      console.log(`| ${cells.join(' | ')} |`);
      await plain.close();
    });
    if (!isThere) console.log(`| ${name} | not there: npm run services -- ${name} |${' |'.repeat(titles.length - 2)}`);
  }
}

void main(process.argv.slice(2));
