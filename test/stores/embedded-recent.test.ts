import { setImmediate as turn } from 'node:timers/promises';
import { RetryableError } from '../../src/base/errors';
import { Environment } from '../../src/embedded/environment';
import type { Entry } from '../../src/embedded/table';
import type { Message } from '../../src/mqtt/message';
import { EmbeddedStore } from '../../src/stores/embedded';
import { message } from '../support/messages';
import { temporaryDirectory } from '../support/temp';

const TABLES = [
  ...['topics', 'topic-names', 'topic-counts', 'log', 'by-topic', 'bodies', 'tombstone-ids', 'tombstones'],
  ...['expiry', 'expiry-groups', 'meta'],
];
const SIZES = { atOnce: 500, kept: 500 };
const HOUR_MS = 3_600_000;

describe('an embedded store that has recent messages in memory', () => {
  const directory = temporaryDirectory();
  let environment: Environment;
  let store: EmbeddedStore;
  beforeEach(async () => {
    environment = await Environment.open(directory.path);
    store = new EmbeddedStore(environment, SIZES);
    await store.migrate();
  });
  afterEach(async () => {
    await environment.close();
    directory.remove();
  });

  const many = (count: number, topics: number): Message[] =>
    Array.from({ length: count }, (_, i) => message({ topic: `t/${i % topics}`, expiresAt: Date.now() + HOUR_MS }));
  const idsOf = (messages: readonly Message[]) => messages.map(({ id }) => id);
  const listed = async (topic: string) => idsOf(await store.listMessages({ topic, after: '', limit: 100_000, now: 0 }));
  const count = (name: string) => environment.table(`store-${name}`).count;

  /** @returns what brings the tables back to what they are now. */
  const restorer = () => {
    const before = TABLES.map((name) => ({ table: environment.table(`store-${name}`), entries: [] as Entry[] }));
    for (const { table, entries } of before) entries.push(...table.entries());
    return () => {
      for (const { table, entries } of before) {
        for (const key of [...table.keys()]) table.remove(key);
        for (const { key, value } of entries) table.put(key, value);
      }
    };
  };

  /** Does the work, and then undoes it in the tables, as a transaction that fails when it is committed. */
  const undone = async (work: () => Promise<unknown>) => {
    const restore = restorer();
    await work();
    await environment.write(restore);
  };

  /** Like undone(), but the store is told that the transaction has failed. */
  const failing = async (work: () => Promise<unknown>) => {
    const [restore, write] = [restorer(), environment.write.bind(environment)];
    const spy = jest.spyOn(environment, 'write').mockImplementation(async (each) => {
      await write(each);
      await write(restore);
      throw new RetryableError('the disk is full');
    });
    await expect(work()).rejects.toThrow('the disk is full');
    spy.mockRestore();
  };

  it('shows every stored message while messages are put into the index', async () => {
    const saved: Message[] = [];
    let [isOver, reads] = [false, 0];
    const read = async () => {
      for (; !isOver; reads++) {
        const stored = idsOf(saved.filter(({ topic }) => topic === 't/1'));
        const found = new Set((await store.listRefs({ topic: 't/1', after: '', limit: 100_000, now: 0 })).map(({ id }) => id));
        expect(stored.filter((id) => !found.has(id))).toEqual([]);
        await turn();
      }
    };
    const reading = read();
    for (let i = 0; i < 40; i++) {
      const batch = many(100, 2);
      const saving = store.saveMessages(batch);
      // While the index is changed: what was stored before.
      await turn();
      await saving;
      saved.push(...batch);
    }
    isOver = true;
    await reading;
    expect(reads).toBeGreaterThan(40);
    expect(count('by-topic')).toBe(3_500);
    expect(await listed('t/0')).toEqual(idsOf(saved.filter(({ topic }) => topic === 't/0')));
  });

  it('leaves nothing behind when messages are removed while they are put into the index', async () => {
    const batches = Array.from({ length: 60 }, () => many(100, 3));
    const works: Promise<unknown>[] = [];
    for (const [i, batch] of batches.entries()) {
      works.push(store.saveMessages(batch));
      await turn();
      if (i >= 8) works.push(store.removeMessages(batches[i - 8]!, Date.now() + HOUR_MS));
      if (i % 5 === 0) works.push(store.trimTopic('t/2', 150));
      if (i % 4 === 0) await turn();
    }
    await Promise.all(works);
    const kept = batches.slice(52).flat();
    expect(await listed('t/0')).toEqual(idsOf(kept.filter(({ topic }) => topic === 't/0')));
    const counted = await store.topicCounts(['t/0', 't/1', 't/2'], 0);
    expect([...counted.values()].reduce((sum, { messages }) => sum + messages, 0)).toBe(await store.countMessages());
    await store.removeMessages(kept, 0);
    await store.purgeExpired(Date.now() + 2 * HOUR_MS, 100_000);
    for (const name of TABLES) if (!['meta', 'topics'].includes(name)) expect(`${name}: ${count(name)}`).toBe(`${name}: 0`);
  });

  it('removes and trims messages that are in the index and still in memory', async () => {
    const all = many(1_000, 2);
    const write = environment.write.bind(environment);
    let trimmed: number | null = null;
    const spy = jest.spyOn(environment, 'write').mockImplementation(async (work) => {
      const result = await write(work);
      if (trimmed !== null || count('by-topic') === 0) return result;
      // The transaction that indexes 500 messages is committed, and its caller does not know yet.
      trimmed = 0;
      expect(await store.removeMessages(all.slice(0, 100), 0)).toBe(100);
      trimmed = await store.trimTopic('t/0', 50);
      return result;
    });
    await store.saveMessages(all);
    spy.mockRestore();
    expect(trimmed).toBe(400);
    const [even, odd] = [0, 1].map((rest) => idsOf(all.filter((_, i) => i % 2 === rest)));
    expect(await listed('t/0')).toEqual(even!.slice(-50));
    expect(await listed('t/1')).toEqual(odd!.slice(50));
    expect(count('by-topic')).toBe(200);
    const counted = await store.topicCounts(['t/0', 't/1'], 0);
    expect([...counted.values()].map(({ messages }) => messages)).toEqual([50, 450]);
    expect(await store.removeMessages(all, 0)).toBe(500);
    expect([count('by-topic'), count('topic-counts'), count('topic-names')]).toEqual([0, 0, 0]);
  });

  it('stores and removes what a transaction that failed has not stored and removed', async () => {
    const [first, second, third] = [many(20, 2), many(20, 4), many(20, 2)];
    await store.saveMessages([...first, ...third]);
    await undone(async () => {
      await store.saveMessages(second);
      await store.removeMessages(first, Date.now() + HOUR_MS);
    });
    // Nothing is listed that is not stored.
    const refs = await store.listRefs({ topic: 't/0', after: '', limit: 100, now: 0 });
    expect(refs.map(({ id }) => id)).toEqual(idsOf(third.filter(({ topic }) => topic === 't/0')));
    await store.saveMessages([...first, ...second, ...third]);
    const all = [...first, ...second, ...third];
    for (const topic of ['t/0', 't/1', 't/2', 't/3'])
      expect(await listed(topic)).toEqual(idsOf(all.filter((each) => each.topic === topic)));
    expect(await store.listTopics({ filter: '#', after: '', limit: 10 })).toEqual(['t/0', 't/1', 't/2', 't/3']);
    expect(await store.removeMessages(all, 0)).toBe(60);
    expect(count('log')).toBe(0);
  });

  it('lists what a transaction that failed has not removed, before the next one begins', async () => {
    const all = many(20, 1);
    await store.saveMessages(all);
    const works = [
      () => store.removeMessages(all.slice(0, 5), Date.now() + HOUR_MS),
      () => store.trimTopic('t/0', 3),
      () => store.purgeExpired(Date.now() + 2 * HOUR_MS, 100),
    ];
    for (const work of works) {
      await failing(work);
      expect(await listed('t/0')).toEqual(idsOf(all));
    }
    const more = many(1_000, 1);
    await store.saveMessages(more.slice(0, 950));
    await failing(() => store.saveMessages(more.slice(950)));
    expect(count('by-topic')).toBe(0);
    expect(await listed('t/0')).toEqual(idsOf([...all, ...more.slice(0, 950)]));
    await store.saveMessages(more);
    expect(count('by-topic')).toBe(500);
    expect(await listed('t/0')).toEqual(idsOf([...all, ...more]));
    expect(await store.removeMessages([...all, ...more], 0)).toBe(1_020);
    expect([count('by-topic'), count('topic-counts'), count('topic-names')]).toEqual([0, 0, 0]);
  });

  it('neither lists nor trims a message with an id that another topic had before', async () => {
    const [first, second, third] = many(3, 1);
    await store.saveMessages([first!, second!, third!]);
    await store.removeMessages([second!], 0);
    await store.saveMessages([{ ...second!, topic: 't/1' }]);
    expect(await listed('t/0')).toEqual(idsOf([first!, third!]));
    expect(await store.trimTopic('t/0', 1)).toBe(1);
    expect(await listed('t/0')).toEqual([third!.id]);
    expect(await listed('t/1')).toEqual([second!.id]);
  });

  it('knows its recent messages when it is opened again', async () => {
    const all = many(1_700, 2);
    for (let i = 0; i < all.length; i += 100) await store.saveMessages(all.slice(i, i + 100));
    await environment.close();
    environment = await Environment.open(directory.path);
    store = new EmbeddedStore(environment, SIZES);
    expect(count('by-topic')).toBe(1_000);
    const odd = idsOf(all.filter(({ topic }) => topic === 't/1'));
    expect(await listed('t/1')).toEqual(odd);
    // A page may begin in the index and end with recent messages.
    for (const at of [0, 490, 499, 500, 849]) {
      const page = await store.listRefs({ topic: 't/1', after: odd[at]!, limit: 20, now: 0 });
      expect(page.map(({ id }) => id)).toEqual(odd.slice(at + 1, at + 21));
    }
    expect(await store.trimTopic('t/1', 10)).toBe(840);
    expect(await listed('t/1')).toEqual(odd.slice(-10));
    await store.saveMessages(all);
    expect(await listed('t/1')).toEqual(odd);
  });
});
