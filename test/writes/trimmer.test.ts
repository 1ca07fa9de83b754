import { setTimeout as sleep } from 'node:timers/promises';
import type { Policy } from '../../src/config/policies';
import { matches } from '../../src/mqtt/topic';
import { compareText } from '../../src/stores/shared/order';
import { MOST_COUNTED } from '../../src/stores/store';
import { Trimmer } from '../../src/writes/trimmer';
import { createMetrics } from '../../src/base/metrics';
import { EmbeddedStore } from '../../src/stores/embedded';
import { temporaryEnvironment } from '../support/environment';
import { message } from '../support/messages';
import { policy } from '../support/policies';
import { waitFor } from '../support/wait';

const MANY_TOPICS = 100_000;
/** Longer than the pause before a round of checks. */
const ROUND_MS = 200;

/** A store that has only the numbers of messages of each topic, and counts its requests. */
class Stored {
  readonly trimmed: string[] = [];
  readonly counted: string[][] = [];
  lists = 0;
  private readonly topics: readonly string[];

  constructor(private readonly messages: Map<string, number>) {
    this.topics = [...messages.keys()].sort(compareText);
  }

  topicCounts = async (topics: readonly string[]) => {
    this.counted.push([...topics]);
    return new Map(topics.map((topic) => [topic, { messages: this.messages.get(topic) ?? 0, oldestAt: null }]));
  };

  trimTopic = async (topic: string, keep: number) => {
    this.trimmed.push(`${topic}:${keep}`);
    const before = this.messages.get(topic) ?? 0;
    this.messages.set(topic, Math.min(before, keep));
    return Math.max(0, before - keep);
  };

  listTopics = async ({ filter, after, limit }: { filter: string; after: string; limit: number }) => {
    this.lists++;
    const found: string[] = [];
    for (let i = after === '' ? 0 : this.topics.indexOf(after) + 1; i < this.topics.length && found.length < limit; i++) {
      const topic = this.topics[i] ?? '';
      if (matches(filter, topic)) found.push(topic);
    }
    return found;
  };

  get requests(): number {
    return this.trimmed.length + this.counted.length + this.lists;
  }
}

describe('maxStored', () => {
  const setUp = (policies: readonly Policy[], stored: Readonly<Record<string, number>> = {}) => {
    const errors: unknown[] = [];
    const store = new Stored(new Map(Object.entries(stored)));
    const metrics = createMetrics();
    return { errors, store, metrics, trimmer: new Trimmer({ store, policies, metrics, onError: (error) => errors.push(error) }) };
  };
  const withMost = (maxStored: number, stored: Readonly<Record<string, number>> = {}) => setUp([policy({ maxStored })], stored);

  /** How many topics are counted, and how many wait for a check. */
  const sizesOf = (trimmer: Trimmer): number[] => {
    const { left, due } = trimmer as unknown as { left: Map<string, number>; due: Set<string> };
    return [left.size, due.size];
  };

  it('is checked after every tenth of new messages', async () => {
    const { trimmer, store } = withMost(50, { a: 60, b: 60 });
    trimmer.saved(['a', 'a', 'b', 'a', 'a']);
    await sleep(ROUND_MS);
    expect(store.requests).toBe(0);
    trimmer.saved(['a']);
    await waitFor('a check', () => store.trimmed.length > 0);
    trimmer.saved(['a', 'a', 'a', 'a']);
    await sleep(ROUND_MS);
    expect(store.trimmed).toEqual(['a:50']);
    await trimmer.stop();
  });

  // The guard is MOST.
  it('is checked after 1,000 new messages when a tenth is more', async () => {
    const { trimmer, store } = withMost(50_000, { a: 60_000 });
    trimmer.saved(Array<string>(999).fill('a'));
    await sleep(ROUND_MS);
    expect(store.requests).toBe(0);
    trimmer.saved(['a']);
    await waitFor('a check', () => store.trimmed.length > 0);
    await trimmer.stop();
  });

  it('costs one request for all topics of a round, and one for each topic that has more', async () => {
    const { trimmer, store } = withMost(10, { a: 10, b: 11, c: 3, d: 12 });
    trimmer.saved(['a', 'b', 'c', 'd', 'a', 'b']);
    await waitFor('the checks', () => store.trimmed.length === 2);
    expect(store.counted).toEqual([['a', 'b', 'c', 'd']]);
    expect(store.trimmed.sort()).toEqual(['b:10', 'd:10']);
    await trimmer.stop();
  });

  it('is kept in topics with more messages than databases count', async () => {
    const { trimmer, store } = withMost(2 * MOST_COUNTED, { a: MOST_COUNTED, b: MOST_COUNTED - 1 });
    await trimmer.sweep();
    expect(store.trimmed).toEqual([`a:${2 * MOST_COUNTED}`]);
  });

  it('counts the deleted messages', async () => {
    const { trimmer, metrics } = withMost(5, { a: 8 });
    trimmer.saved(['a']);
    await waitFor('the trim', async () => (await metrics.messagesTrimmed.get()).values[0]?.value === 3);
    expect((await metrics.messagesRemoved.get()).values[0]?.value).toBe(3);
    await trimmer.stop();
  });

  // Promise 22. Once, the writer waited for one round trip for each message beyond 10,000 active topics.
  it('needs no store requests of the writer, whatever the number of topics', async () => {
    const requestsWith = async (topics: number) => {
      const { trimmer, store } = withMost(100, {});
      for (let i = 0; i < MANY_TOPICS; i += 256) {
        trimmer.saved(Array.from({ length: 256 }, (_, n) => `t/${(i + n) % topics}`));
        if (i % 10_240 === 0) await sleep(1);
      }
      const during = store.requests;
      await trimmer.stop();
      return during;
    };
    // 100,000 messages to 100 topics make each of them due, and 100,000 topics with a message each none of them.
    expect(await requestsWith(100)).toBeLessThan(20);
    expect(await requestsWith(MANY_TOPICS)).toBe(0);
  });

  it('needs bounded memory and few requests if every message makes its topic due', async () => {
    const { trimmer, store } = withMost(1);
    for (let i = 0; i < MANY_TOPICS; i += 256) trimmer.saved(Array.from({ length: 256 }, (_, n) => `t/${i + n}`));
    expect(store.requests).toBe(0);
    expect(sizesOf(trimmer)).toEqual([0, 10_000]);
    await sleep(ROUND_MS);
    expect(store.requests).toBeGreaterThan(0);
    expect(store.requests).toBeLessThan(5);
    expect(store.counted.every((topics) => topics.length === 256)).toBe(true);
    await trimmer.stop();
  });

  it('needs bounded memory if no message makes its topic due', async () => {
    const { trimmer, store } = withMost(100);
    for (let i = 0; i < MANY_TOPICS; i += 256) trimmer.saved(Array.from({ length: 256 }, (_, n) => `t/${i + n}`));
    expect(sizesOf(trimmer)).toEqual([10_000, 0]);
    expect(store.requests).toBe(0);
    await trimmer.stop();
  });

  it('is applied to 100,000 topics in one sweep with one request for 256 topics', async () => {
    const stored = Object.fromEntries(
      Array.from({ length: MANY_TOPICS }, (_, i) => [`t/${String(i).padStart(6, '0')}`, i % 1_000 === 0 ? 9 : 2]),
    );
    const { trimmer, store } = withMost(2, stored);
    store.listTopics = async ({ after, limit }) => {
      store.lists++;
      const from = after === '' ? 0 : Number(after.slice(2)) + 1;
      return Array.from({ length: Math.max(0, Math.min(limit, MANY_TOPICS - from)) }, (_, i) => `t/${String(from + i).padStart(6, '0')}`);
    };
    await trimmer.sweep(60_000);
    const pages = Math.ceil(MANY_TOPICS / 256);
    expect([store.lists, store.counted.length, store.trimmed.length]).toEqual([pages, pages, 100]);
  });

  it('is checked by one round at a time, while the writer continues', async () => {
    const { trimmer, store } = withMost(10);
    let [under, most, rounds] = [0, 0, 0];
    const { topicCounts } = store;
    store.topicCounts = async (topics) => {
      most = Math.max(most, ++under);
      await sleep(20);
      under--;
      rounds++;
      return topicCounts(topics);
    };
    for (let i = 0; i < 600; i++) trimmer.saved([`t/${i}`, `t/${i}`]);
    expect(rounds).toBe(0);
    await waitFor('all rounds', () => rounds === 3);
    expect(most).toBe(1);
    await trimmer.stop();
  });

  // The guards are `working` in plan(), the wait for it in sweep(), and the pause as long as the round before.
  it('is checked by one round at a time while messages are stored, beside a sweep, and with a pause of the same length', async () => {
    const { trimmer, store } = withMost(10, { a: 1 });
    const [begins, ends]: number[][] = [[], []];
    let [under, most] = [0, 0];
    const { topicCounts } = store;
    store.topicCounts = async (topics) => {
      begins!.push(performance.now());
      most = Math.max(most, ++under);
      await sleep(ROUND_MS);
      if (begins!.length === 1) trimmer.saved(['b']);
      await sleep(ROUND_MS);
      under--;
      ends!.push(performance.now());
      return topicCounts(topics);
    };
    trimmer.saved(['a']);
    await waitFor('the first round', () => begins!.length === 1);
    await waitFor('the second round', () => begins!.length === 2);
    // A timer may end a millisecond early.
    expect(begins![1]! - ends![0]!).toBeGreaterThan(2 * ROUND_MS - 5);
    await trimmer.sweep();
    expect(most).toBe(1);
    await trimmer.stop();
  });

  it('finishes the other trims of a round when one of them fails', async () => {
    const topics = ['a', 'b', 'c'];
    const { trimmer, store, errors } = withMost(10, Object.fromEntries(topics.map((topic) => [topic, 20])));
    let done = 0;
    store.trimTopic = async (topic) => {
      if (topic === 'a') throw new Error('away');
      await sleep(ROUND_MS);
      return ++done;
    };
    trimmer.saved(topics);
    await waitFor('the error', () => errors.length === 1);
    expect(done).toBe(2);
    await trimmer.stop();
  });

  it('ends the sweep when the server stops', async () => {
    const stored = Array.from({ length: 600 }, (_, i) => [`t/${i}`, 1]);
    const { trimmer, store } = withMost(10, Object.fromEntries(stored) as Record<string, number>);
    const { topicCounts } = store;
    store.topicCounts = async (topics) => (await trimmer.stop(), topicCounts(topics));
    await trimmer.sweep();
    expect([store.lists, store.counted.length]).toEqual([1, 1]);
  });

  it('finishes the running check when the server stops, and starts no other', async () => {
    const topics = Array.from({ length: 20 }, (_, i) => `t/${i}`);
    const { trimmer, store } = withMost(10, Object.fromEntries(topics.map((topic) => [topic, 20])));
    let [begun, done] = [0, 0];
    store.trimTopic = async () => {
      begun++;
      await sleep(50);
      return ++done;
    };
    trimmer.saved(topics);
    await waitFor('the trims', () => begun > 0);
    await trimmer.stop();
    expect(done).toBe(begun);
    expect(done).toBeLessThan(topics.length);
    const before = [begun, store.requests];
    trimmer.saved(['a']);
    await sleep(ROUND_MS);
    expect([begun, store.requests]).toEqual(before);
  });

  it('is checked again after a failed check', async () => {
    const { trimmer, store, errors } = withMost(10, { a: 20 });
    const { topicCounts } = store;
    store.topicCounts = () => Promise.reject(new Error('away'));
    trimmer.saved(['a']);
    await waitFor('the error', () => errors.length === 1);
    // The store may be away, so that the next check is much later.
    await sleep(2 * ROUND_MS);
    expect(errors).toHaveLength(1);
    store.topicCounts = topicCounts;
    await waitFor('the check', () => store.trimmed.length === 1, 10_000);
    expect(store.trimmed).toEqual(['a:10']);
    await trimmer.stop();
  }, 20_000);

  // A process that was started anew has counted nothing, and topics with few messages are forgotten.
  it("is applied to all stored topics by a sweep, with each topic's policy", async () => {
    const stored = [...Array.from({ length: 600 }, (_, i) => `p/${String(i).padStart(3, '0')}`), 'q/1', 'q/off/1'];
    const policies = [
      policy({ filter: 'q/off/#', mode: 'off' }),
      policy({ filter: 'q/#', maxStored: 7 }),
      policy({ filter: '#', maxStored: 9 }),
    ];
    const { trimmer, store } = setUp(policies, Object.fromEntries(stored.map((topic) => [topic, 10])));
    await trimmer.sweep();
    expect(store.trimmed.sort()).toEqual([...stored.slice(0, 600).map((topic) => `${topic}:9`), 'q/1:7'].sort());
  });

  it('is applied in steps: the next sweep continues where the last one ended', async () => {
    const stored = Array.from({ length: 600 }, (_, i) => `t/${String(i).padStart(3, '0')}`);
    const { trimmer, store } = withMost(10, Object.fromEntries(stored.map((topic) => [topic, 1])));
    for (let i = 0; i < 4; i++) await trimmer.sweep(0);
    expect(store.counted.map((topics) => [topics[0], topics.length])).toEqual([
      ['t/000', 256],
      ['t/256', 256],
      ['t/512', 88],
      ['t/000', 256],
    ]);
  });

  describe('with the embedded store', () => {
    const { get } = temporaryEnvironment();

    it('is kept in 100,000 topics', async () => {
      const store = new EmbeddedStore(get());
      await store.migrate();
      const trimmer = new Trimmer({ store, policies: [policy({ maxStored: 1 })], metrics: createMetrics() });
      for (let i = 0; i < MANY_TOPICS; i += 1_000) {
        const messages = Array.from({ length: 1_000 }, (_, n) => message({ topic: `t/${i + n}` }));
        messages.push(...messages.slice(0, 100).map(({ topic }) => message({ topic })));
        await store.saveMessages(messages);
        trimmer.saved(messages.map(({ topic }) => topic));
      }
      let sweeps = 0;
      for (; (await store.countMessages()) > MANY_TOPICS && sweeps < 20; sweeps++) await trimmer.sweep();
      expect(await store.countMessages()).toBe(MANY_TOPICS);
      // Each sweep has 5 s, and a slow machine may need several.
      expect(sweeps).toBeLessThan(20);
      await trimmer.stop();
    }, 180_000);
  });
});
