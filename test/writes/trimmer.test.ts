import { setTimeout as sleep } from 'node:timers/promises';
import type { Policy } from '../../src/config/policies';
import { matches } from '../../src/mqtt/topic';
import { Trimmer } from '../../src/writes/trimmer';
import { createMetrics } from '../../src/base/metrics';
import { policy } from '../support/policies';
import { waitFor } from '../support/wait';

describe('maxStored', () => {
  const setUp = (policies: readonly Policy[], stored: readonly string[] = []) => {
    const trimmed: string[] = [];
    const errors: unknown[] = [];
    const store = {
      trimTopic: async (topic: string, keep: number) => {
        trimmed.push(`${topic}:${keep}`);
        return 3;
      },
      listTopics: async ({ filter, after, limit }: { filter: string; after: string; limit: number }) =>
        stored.filter((topic) => topic > after && matches(filter, topic)).slice(0, limit),
    };
    const metrics = createMetrics();
    return { trimmed, errors, store, metrics, trimmer: new Trimmer({ store, policies, metrics, onError: (error) => errors.push(error) }) };
  };
  const withMost = (maxStored: number, stored: readonly string[] = []) => setUp([policy({ maxStored })], stored);

  it('is checked after every tenth of new messages', async () => {
    const { trimmer, trimmed } = withMost(50);
    trimmer.saved(['a', 'a', 'b', 'a', 'a']);
    await sleep(10);
    expect(trimmed).toEqual([]);
    trimmer.saved(['a']);
    await waitFor('a look', () => trimmed.length > 0);
    trimmer.saved(['a', 'a', 'a', 'a']);
    await sleep(10);
    expect(trimmed).toEqual(['a:50']);
  });

  it('counts the deleted messages', async () => {
    const { trimmer, metrics } = withMost(5);
    trimmer.saved(['a']);
    await trimmer.stop();
    expect((await metrics.messagesRemoved.get()).values[0]?.value).toBe(3);
    expect((await metrics.messagesTrimmed.get()).values[0]?.value).toBe(3);
  });

  // Promise 22. Before, the writer waited for one round trip for each message beyond 10,000 active topics.
  it('needs no store requests of the writer with 20,000 topics', async () => {
    const { trimmer, trimmed } = withMost(100_000);
    for (let i = 0; i < 20_000; i++) trimmer.saved([`t/${i}`]);
    await sleep(10);
    expect(trimmed).toEqual([]);
    await trimmer.stop();
  });

  it('is checked one topic at a time, while the writer continues', async () => {
    const { trimmer, store } = withMost(10);
    let [under, most, looks] = [0, 0, 0];
    store.trimTopic = async () => {
      most = Math.max(most, ++under);
      await sleep(1);
      under--;
      return ++looks;
    };
    for (let i = 0; i < 50; i++) trimmer.saved([`t/${i}`, `t/${i}`]);
    expect(looks).toBe(0);
    await waitFor('all looks', () => looks >= 50);
    expect(most).toBe(1);
  });

  it('finishes the running check when the server stops, and starts no other', async () => {
    const { trimmer, store } = withMost(10);
    let done = 0;
    store.trimTopic = async () => {
      await sleep(20);
      return ++done;
    };
    trimmer.saved(['a', 'b', 'c']);
    await trimmer.stop();
    expect(done).toBe(1);
    trimmer.saved(['d']);
    await sleep(30);
    expect(done).toBe(1);
  });

  it('is checked again with the next messages after a failed check', async () => {
    const { trimmer, store, trimmed, errors } = withMost(10);
    const { trimTopic } = store;
    store.trimTopic = () => Promise.reject(new Error('away'));
    trimmer.saved(['a']);
    await waitFor('the error', () => errors.length === 1);
    store.trimTopic = trimTopic;
    trimmer.saved(['b']);
    await waitFor('both', () => trimmed.length === 2);
    expect(trimmed).toEqual(['a:10', 'b:10']);
  });

  // A process that was started anew has counted nothing, and topics with few messages are forgotten.
  it("is applied to all stored topics by a sweep, with each topic's policy", async () => {
    const stored = [...Array.from({ length: 600 }, (_, i) => `p/${String(i).padStart(3, '0')}`), 'q/1', 'q/off/1'];
    const policies = [
      policy({ filter: 'q/off/#', mode: 'off' }),
      policy({ filter: 'q/#', maxStored: 7 }),
      policy({ filter: '#', maxStored: 9 }),
    ];
    const { trimmer, trimmed } = setUp(policies, stored);
    await trimmer.sweep();
    expect(trimmed.sort()).toEqual([...stored.slice(0, 600).map((topic) => `${topic}:9`), 'q/1:7'].sort());
  });

  it('is applied in steps: the next sweep continues where the last one ended', async () => {
    const stored = Array.from({ length: 5 }, (_, i) => `t/${i}`);
    const { trimmer, trimmed } = withMost(10, stored);
    for (let i = 0; i < 7; i++) await trimmer.sweep(0);
    expect(trimmed).toEqual([...stored.map((topic) => `${topic}:10`), 't/0:10']);
  });
});
